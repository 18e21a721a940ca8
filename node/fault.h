/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_FAULT_H
#define RH_NODE_FAULT_H

/*
 * Rules of docs/protocol-cluster.md, and at the end of docs/relay.md, that can be broken on purpose, to
 * prove that a test notices. Only the simulator compiles the core and the membership with RH_FAULTS;
 * everywhere else rh_fault() is `false`, and nothing of it is left.
 *
 * Name and text; tests/simulator-faults says what of the simulator catches each.
 */
#define RH_FAULT_MAP(X)                                                               \
    X(LOWER_TERM, "appends of a lower term are accepted")                             \
    X(DELIVER_EARLY, "messages are delivered before they are committed")              \
    X(CREATE_EARLY, "channels are created before all have reported")                  \
    X(WHOLE_TERMS, "a short sync brings the terms of what it does not bring")         \
    X(OLD_STATE, "a sync of another life leaves the state document in place")         \
    X(PART_IS_COPY, "an unfinished sync is a copy")                                   \
    X(NO_RIGHT, "commits need neither proof nor lease")                               \
    X(SESSION_PROOF, "a session is taken for proof, not the registration")            \
    X(KEEP_ROLE, "a process that started again keeps its place in groups")            \
    X(LOST_WINDOW, "the ids of a channel do not travel with it")                      \
    X(ACT_AGAIN, "who was refused in handing over acts again")                        \
    X(LEAVE_EARLY, "members are asked to leave before the new list is confirmed")     \
    X(LIST_ONLY, "the group of a takeover is the preference list only")               \
    X(NO_TOMB, "nothing is remembered of a copy that was dropped")                    \
    X(NO_REGISTRATION_EPOCH, "what was sent before a loss is accepted after it")      \
    X(NO_WAIT, "a suspect copy is taken over at once")                                \
    X(DEAD_EXCUSED, "leases of who seems dead are not asked for")                     \
    X(GRANT_HEARD, "leases are granted while ZooKeeper is heard")                     \
    X(GRANT_HELD, "leases are granted while a view without the asker is put off")     \
    X(NO_PROMISE, "what a lease promised is forgotten")                               \
    X(NO_GUARD, "an epoch is recorded whoever of the last one is missing")            \
    X(FORGET_GUARD, "who is waited for is forgotten with the data of ZooKeeper")      \
    X(NEXT_GENERATION, "after a loss of data the next generation is the next number") \
    X(UNRECORDED, "channels move in an epoch that is not recorded")                   \
    X(OLD_ROUND, "reports count that were overtaken by those of a later round")       \
    X(FETCH_ANY, "a copy is fetched whatever it has become since it was reported")    \
    X(FETCH_AGAIN, "a copy is fetched again and again when there is none any more")   \
    X(SEEN_LOSSES, "only losses in adopted views are waited for")                     \
    X(NO_TWINS, "a registration beside a later one of its id is no loss")             \
    X(OLD_LEAVE, "a leave of an earlier epoch is obeyed")                             \
    X(KEEP_INCARNATION, "any suspect copy keeps its incarnation")                     \
    X(TRIM_UNCOMMITTED, "logs are trimmed above the last commit")                     \
    X(NO_GATE, "a channel that is handed over goes on taking messages")               \
    X(ONE_TURN, "all terms of an epoch are the same")                                 \
    X(HOLD_FOREVER, "frames of a process that is gone are held for ever")             \
    X(REFUSED_INFORMED, "who refused an append is not asked again")                   \
    X(NO_RESERVE, "what nobody waits for may have all the credit")                    \
    X(NO_HURRY, "channels have their turn in order, whoever waits")                   \
    X(NO_STRAYS, "copies outside the group are left alone")                           \
    X(LEAVE_OPEN, "commits do not wait for who was asked to leave")                   \
    X(SMALL_GROUP, "a group of any size commits")                                     \
    X(TRUST_LEAVERS, "who was asked to leave before this view counts as before")      \
    X(TRUST_LOST, "a member that was lost and is back counts as before")              \
    X(OLD_SYNC, "a sync of an earlier epoch is accepted")                             \
    X(JOINED_AT_ONCE, "a copy is good before a group names its holder")               \
    X(LATE_SYNC, "a sync that was overtaken is taken all the same")                   \
    X(LATE_GROUP, "the group of an append that was overtaken counts")                 \
    X(LATE_ACK, "what was acknowledged before a leave counts after it")               \
    X(CLAIM_ACTS, "a claim acts before its group has confirmed it")                   \
    X(LONGEST, "the longest copy is the best, whatever its term")                     \
    X(LOST_REPORTS, "an end marker counts without its reports")                       \
    X(KNOWN_IS_DONE, "a message that is known is acknowledged, committed or not")     \
    X(OWN_EARLY, "channels are handed over before the new list is confirmed")         \
    X(LEASE_FROM_GRANT, "a lease counts from when it was granted")                    \
    X(LOST_ACTS, "who lost its registration goes on as before")                       \
    X(ACTOR_IGNORED, "a channel is taken over though another node acts for it")       \
    X(ADMIT_EARLY, "who joins is a member before it has all that is committed")       \
    X(OWN_ANEW, "what was sent to hand over is repeated in a later epoch")            \
    X(GATE_STAYS, "a gate that leads to no handing over stays closed")                \
    X(REPORT_ONCE, "what becomes of a reported copy is not reported")                 \
    X(AHEAD_TOLD, "a client that knows more than its node does not wait")             \
    X(NO_IGNORANCE, "a newcomer does not reckon with losses before its time")         \
    X(COMMITTED_CONDITION, "conditions on a state look at what is committed")         \
    X(TUNNEL_GAP, "what is missing in a tunnel goes unnoticed by who relays")         \
    X(LOST_POSITION, "a relayed stream is opened again where it began")               \
    X(NO_CREDIT, "relayed streams are sent more than there is room for")              \
    X(KEEP_STREAM, "the owner keeps streams whose client is gone")                    \
    X(KEEP_REMOTE, "relayed streams stay when their channel moves")                   \
    X(SEND_UNSERVED, "relayed streams are sent what a node has that does not act")

enum rh_fault {
    RH_FAULT_NONE,
#define RH_FAULT_ENUM(name, text) RH_FAULT_##name,
    RH_FAULT_MAP(RH_FAULT_ENUM)
#undef RH_FAULT_ENUM
        RH_FAULTS_COUNT,
};

#ifdef RH_FAULTS
#include <stdbool.h>

/* Whether that rule is broken now. The simulator has it. */
bool rh_fault(enum rh_fault fault);
#else
#define rh_fault(fault) false
#endif

#endif
