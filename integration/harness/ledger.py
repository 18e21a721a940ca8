# SPDX-License-Identifier: Apache-2.0
"""What publishers were promised and what subscribers got, written down while it happens and judged
in the end. No I/O here: traffic.py writes, tests and scripts/soak read.

                 attempt, acknowledged, given_up          welcome, message, moved, broken, polled
   publishers ------------------------------> Ledger <------------------------------ subscribers
                                                | audit(key, what the log holds in the end)
                                                v
                                         Report: counts, times, the story of a key

What counts depends on what the nodes do. With replication everything must be kept. Without it a
channel that moves starts empty, and only what is promised then is asked for: within an incarnation
nothing is lost, doubled or reordered, and its end is told.
"""
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

# kind: what it means. Each counts as a failure.
KINDS = {
    "lost": "acknowledged or delivered, and gone",
    "duplicated": "one message twice, or under two numbers",
    "reordered": "numbers not ascending, for a subscriber or for one publisher",
    "gaps": "a number left out",
    "forked": "two messages under one number of one incarnation",
    "resets": "recovered: false, or a new incarnation, without a reason",
    "unannounced": "a new incarnation that claims to be recovered",
    "late": "a message on a connection after it was told moved",
    "stuck": "a subscriber that never got what the log holds",
    "disturbed": "a connection moved or broken, or a publish tried twice, where nothing may happen",
    "unknown": "a publish whose outcome nobody could tell within its time",
    "failed": "a publish that was refused until its time was over, or for good",
}


@dataclass
class Publish:
    id: str
    key: str
    publisher: str
    began: float
    attempts: list = field(default_factory=list)    # (time, node, outcome)
    ended: float = None
    incarnation: str = None                         # once acknowledged
    seq: int = None

    @property
    def acknowledged(self):
        return self.seq is not None


class Ledger:
    def __init__(self, replication):
        self.replication = replication
        self.began = time.monotonic()
        self.publishes = {}                  # id: Publish
        self.subscribers = []
        self.marks = []                      # (time, text): what the scenario did
        self.counts = Counter()
        self.examples = []                   # (time, kind, key, text)
        self.stories = defaultdict(list)     # key: [(time, who, text)]
        self.resets_allowed = not replication   # a scenario with a reason sets it
        self.placed = {}                     # (key, incarnation, seq): id
        self._places = defaultdict(set)      # id: {(incarnation, seq)}

    # --- what happens ----------------------------------------------------------------------------

    def mark(self, text):
        """Something that the scenario does: it stands in the story of every key."""
        self.marks.append((time.monotonic(), text))

    def tell(self, key, who, text):
        self.stories[key].append((time.monotonic(), who, text))

    def violation(self, kind, key, text):
        assert kind in KINDS
        self.counts[kind] += 1
        self.examples.append((time.monotonic(), kind, key, text))
        self.tell(key, "LEDGER", f"{kind}: {text}")

    def place(self, key, incarnation, seq, message_id):
        """Somebody said that this message has that number."""
        holder = self.placed.setdefault((key, incarnation, seq), message_id)
        if holder != message_id:
            self.violation("forked", key, f"{incarnation}:{seq} is {holder} and {message_id}")
        places = self._places[message_id]
        if (incarnation, seq) in places:
            return
        if any(self.replication or other == incarnation for other, _ in places):
            self.violation("duplicated", key, f"{message_id} is {sorted(places)} and "
                                              f"{incarnation}:{seq}")
        places.add((incarnation, seq))

    def subscriber(self, key, name):
        self.subscribers.append(Subscriber(self, key, name))
        return self.subscribers[-1]

    def publish(self, key, publisher, message_id):
        publish = Publish(message_id, key, publisher, time.monotonic())
        self.publishes[message_id] = publish
        return publish

    def attempt(self, publish, node, outcome):
        publish.attempts.append((time.monotonic(), node, outcome))
        if outcome != "201":
            self.tell(publish.key, publish.publisher, f"{publish.id} by {node}: {outcome}")

    def acknowledged(self, publish, node, incarnation, seq, duplicate):
        publish.ended = time.monotonic()
        publish.incarnation, publish.seq = incarnation, seq
        self.tell(publish.key, publish.publisher, f"{publish.id} by {node}: acknowledged as "
                  f"{incarnation}:{seq}{', a duplicate' if duplicate else ''}")
        self.place(publish.key, incarnation, seq, publish.id)

    def given_up(self, publish, for_good=False):
        publish.ended = time.monotonic()
        # Outcomes that begin with "?" may have published it.
        unknown = not for_good and any(outcome[0] == "?" for _, _, outcome in publish.attempts)
        self.violation("unknown" if unknown else "failed", publish.key,
                       f"{publish.id}: {[outcome for _, _, outcome in publish.attempts][-5:]}")

    def disturbances(self):
        """{key: [moves and breaks of its connections, publishes tried again]}."""
        found = defaultdict(lambda: [0, 0])
        for subscriber in list(self.subscribers):
            if not subscriber.visitor:
                found[subscriber.key][0] += len(subscriber.moves) + len(subscriber.breaks)
        for publish in list(self.publishes.values()):
            found[publish.key][1] += sum(outcome != "201" for _, _, outcome in publish.attempts)
        return found

    # --- judgement -------------------------------------------------------------------------------

    def audit(self, key, incarnation, first_seq, last_seq, messages):
        """Compares with what the log of a channel holds in the end: [(seq, id)]."""
        held = dict(messages)
        for seq, message_id in messages:
            self.place(key, incarnation, seq, message_id)
        for seq in range(first_seq, last_seq + 1):
            if seq not in held:
                self.violation("gaps", key, f"{incarnation}:{seq} is not in the log")
        for publish in self.publishes.values():
            if publish.key != key or not publish.acknowledged:
                continue
            if publish.incarnation != incarnation:
                if not self.resets_allowed:
                    self.violation("lost", key, f"{publish.id} was acknowledged as "
                                   f"{publish.incarnation}:{publish.seq}, the log is {incarnation}")
            elif publish.seq > last_seq:
                self.violation("lost", key, f"{publish.id} was acknowledged as {publish.seq}, the "
                                            f"log ends with {last_seq}")
        for subscriber in self.subscribers:
            got = max(subscriber.seen[incarnation], default=0) if subscriber.key == key else 0
            if got > last_seq:
                self.violation("lost", key, f"{subscriber.name} got {got}, the log ends with "
                                            f"{last_seq}")

    def judge(self):
        """To be called once, when everybody has stopped. Returns the report."""
        acknowledged = defaultdict(list)
        latest = {}
        for publish in self.publishes.values():       # in the order in which they began
            if not publish.acknowledged:
                continue
            acknowledged[publish.key].append(publish)
            of = (publish.key, publish.publisher, publish.incarnation)
            if latest.get(of, 0) >= publish.seq:
                self.violation("reordered", publish.key,
                               f"{publish.id} has {publish.seq}, the one before {latest[of]}")
            latest[of] = publish.seq
        for subscriber in self.subscribers:
            for publish in acknowledged[subscriber.key]:
                if subscriber.owed(publish.incarnation, publish.seq):
                    self.violation("lost", subscriber.key, f"{publish.id}, acknowledged as "
                                   f"{publish.incarnation}:{publish.seq}, never came to "
                                   f"{subscriber.name}")
        return Report(self)

    def story(self, key, lines=400):
        """What happened to one key, the last lines of it."""
        events = sorted(self.stories[key] + [(at, "---", text) for at, text in self.marks])
        return "\n".join(f"{at - self.began:8.3f}  {who:12} {text}"
                         for at, who, text in events[-lines:])


class Subscriber:
    """One client, over all its connections."""

    def __init__(self, ledger, key, name):
        self.ledger = ledger
        self.key = key
        self.name = name
        self.incarnation = None
        self.seq = None                     # of the last message, or what `welcome` said
        self.seen = defaultdict(dict)       # incarnation: {seq: id}
        self.left = set()                   # incarnations whose end it was told
        self.base = {}                      # incarnation: messages above this number are owed
        self.welcomes = 0
        self.moves = []                     # seconds from `moved` to the next `welcome`
        self.breaks = []                    # (why, seconds until it was back)
        self.visitor = False                # goes away whenever it likes: it is owed no message
        self._away = None                   # (since, why; "moved" for a move)

    @property
    def position(self):
        """For `after=`; None before the first welcome."""
        return None if self.incarnation is None else f"{self.incarnation}:{self.seq}"

    def tell(self, text):
        self.ledger.tell(self.key, self.name, text)

    def welcome(self, node, incarnation, seq, recovered):
        now = time.monotonic()
        self.welcomes += 1
        self.tell(f"welcome by {node} at {incarnation}:{seq}{'' if recovered else ', NOT RECOVERED'}")
        if self._away:
            since, why = self._away
            if why == "moved":
                self.moves.append(now - since)
            else:
                self.breaks.append((why, now - since))
            self._away = None
        self._enter(incarnation, seq, recovered)

    def _enter(self, incarnation, seq, recovered):
        known = self.incarnation is not None
        if known and not recovered:
            self.left.add(self.incarnation)
            if not self.ledger.resets_allowed:
                self.ledger.violation("resets", self.key, f"{self.name} was at {self.position} and "
                                      f"is told {incarnation}:{seq}, not recovered")
        elif known and incarnation != self.incarnation:
            self.left.add(self.incarnation)
            self.ledger.violation("unannounced", self.key, f"{self.name} was at {self.position} and "
                                  f"is told {incarnation}:{seq}, recovered")
        elif known and seq != self.seq:
            self.ledger.violation("gaps" if seq > self.seq else "reordered", self.key,
                                  f"{self.name} was at {self.position} and goes on at {seq}")
        if incarnation is not None and not (known and recovered):
            # What the log holds follows, whatever came of it before.
            self.seen.pop(incarnation, None)
            self.base[incarnation] = max(seq, self.base.get(incarnation, 0))
        self.incarnation, self.seq = incarnation, seq

    def message(self, node, seq, message_id):
        self.tell(f"{seq} {message_id} from {node}")
        seen = self.seen[self.incarnation]
        if seq in seen:
            self.ledger.violation("duplicated", self.key, f"{self.name} got {seq} again")
        elif seq <= self.seq:
            self.ledger.violation("reordered", self.key, f"{self.name} got {seq} after {self.seq}")
        elif seq > self.seq + 1:
            self.ledger.violation("gaps", self.key, f"{self.name} got {seq} after {self.seq}")
        seen[seq] = message_id
        self.seq = max(seq, self.seq)
        self.ledger.place(self.key, self.incarnation, seq, message_id)

    def polled(self, node, answer):
        """A 200 of a poll."""
        messages = answer["messages"]
        incarnation, recovered = answer["incarnation"], answer["recovered"]
        before = int(answer["position"].rpartition(":")[2])
        start = messages[0]["seq"] - 1 if messages else before
        if incarnation != self.incarnation or not recovered:
            self.tell(f"polled {node}: {incarnation}:{start}{'' if recovered else ' NOT RECOVERED'}")
            self._enter(incarnation, start, recovered)
        for message in messages:
            self.message(node, message["seq"], message["id"])

    def moved(self, node, to, seq):
        """Told so by the node that had the channel."""
        self._away = (time.monotonic(), "moved")
        self.tell(f"moved by {node} to {to} at {seq}")
        if seq != self.seq:
            self.ledger.violation("gaps", self.key, f"{self.name} has {self.seq}, moved says {seq}")

    def late(self, node, seq):
        self.ledger.violation("late", self.key, f"{self.name} got {seq} from {node} after moved")

    def broken(self, node, why):
        self.tell(f"connection to {node} ended: {why}")
        if not self._away:
            self._away = (time.monotonic(), why)

    def owed(self, incarnation, seq):
        """Whether a message that was acknowledged should have come and did not."""
        if self.visitor or incarnation not in self.base or seq <= self.base[incarnation]:
            return False
        if incarnation in self.left and self.ledger.resets_allowed:
            return False
        return seq not in self.seen[incarnation]


def _percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def _spread(values):
    """"count, median/p99/max in ms" of seconds."""
    if not values:
        return "0"
    return (f"{len(values)} (p50 {_percentile(values, .5) * 1000:.0f}, p99 "
            f"{_percentile(values, .99) * 1000:.0f}, max {max(values) * 1000:.0f} ms)")


class Report:
    def __init__(self, ledger):
        self.ledger = ledger
        self.counts = {kind: ledger.counts[kind] for kind in KINDS}
        self.moves = [gap for subscriber in ledger.subscribers for gap in subscriber.moves]
        self.breaks = [pair for subscriber in ledger.subscribers for pair in subscriber.breaks]
        done = [publish for publish in ledger.publishes.values() if publish.acknowledged]
        self.publishes = len(ledger.publishes)
        self.latencies = [publish.ended - publish.began for publish in done]
        self.deliveries = sum(len(seen) for subscriber in ledger.subscribers
                              for seen in subscriber.seen.values())
        self.retries = sum(len(publish.attempts) - 1 for publish in done)
        self.resets = sum(len(subscriber.left) for subscriber in ledger.subscribers)

    @property
    def clean(self):
        return not any(self.counts.values())

    def summary(self):
        """One line."""
        wrong = ", ".join(f"{count} {kind}" for kind, count in self.counts.items() if count)
        resets = f", {self.resets} announced resets" if self.resets else ""
        return (f"{wrong or 'clean'}{resets}: {self.publishes} publishes "
                f"({self.retries} retries, acknowledged in {_spread(self.latencies)}), "
                f"{self.deliveries} deliveries, moves {_spread(self.moves)}, breaks "
                f"{_spread([gap for _, gap in self.breaks])}")

    def details(self, keys=3, lines=200):
        """The summary, the first violations, and the story of the first keys that have one."""
        parts = [self.summary()]
        parts += [f"{at - self.ledger.began:8.3f}  {kind} {key}: {text}"
                  for at, kind, key, text in self.ledger.examples[:30]]
        offending = list(dict.fromkeys(key for _, _, key, _ in self.ledger.examples))
        for key in offending[:keys]:
            parts += [f"--- {key}", self.ledger.story(key, lines)]
        return "\n".join(parts)

    def check(self):
        """Fails with the details unless all counts are zero."""
        assert self.clean, self.details()
