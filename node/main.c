/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ev_files.h"
#include "base/units.h"
#include "config/config.h"
#include "node/daemon.h"
#include "node/log.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Exit codes, the same as those of the CLI where they mean the same. */
enum exit_status {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_CONFIG = 3,
    EXIT_REFUSED = 6,
};

static const char usage_text[] =
    "Usage: ringhopd --config FILE --node ID [OPTION]...\n"
    "Run one node of a ringhop cluster.\n"
    "\n"
    "  -c, --config FILE       cluster config (default: $RINGHOP_CONFIG, ./cluster.yaml)\n"
    "  -n, --node ID           which node of the config this is\n"
    "      --check-config      check the config and exit\n"
    "      --log-level LEVEL   error, warn, info (default) or debug\n"
    "  -h, --help              show this and exit\n"
    "  -V, --version           show the version and exit\n"
    "\n"
    "A node that is not in the config is described by flags; for one that is, they override it:\n"
    "      --listen ADDR       client listener, host:port\n"
    "      --peer ADDR         peer listener\n"
    "      --admin ADDR        admin listener\n"
    "      --zone ZONE         failure domain\n"
    "      --weight W          share relative to others (default 1; 0 starts outside the ring)\n"
    "      --advertise URL     what clients are told, ws://host:port or wss://host:port\n"
    "      --peer-advertise ADDR\n"
    "                          where other nodes connect\n"
    "\n"
    "SIGTERM: hand over, tell clients where to go, exit 0. A second SIGTERM: exit at once.\n"
    "\n"
    "Exit codes: 0 stopped in order, 1 failed, 2 usage, 3 config, 6 refused by the cluster.\n"
    "\n"
    "Example: ringhopd --config cluster.yaml --node n1\n";

struct arguments {
    const char *config_path;
    enum rh_log_level level;
    bool check_only;
    bool has_weight;
    struct rh_config_node node; /* fields that were given; strings of argv */
};

enum option_code {
    OPTION_LISTEN = 256,
    OPTION_PEER,
    OPTION_ADMIN,
    OPTION_ZONE,
    OPTION_WEIGHT,
    OPTION_ADVERTISE,
    OPTION_PEER_ADVERTISE,
    OPTION_LOG_LEVEL,
    OPTION_CHECK_CONFIG,
};

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"node", required_argument, NULL, 'n'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"peer", required_argument, NULL, OPTION_PEER},
    {"admin", required_argument, NULL, OPTION_ADMIN},
    {"zone", required_argument, NULL, OPTION_ZONE},
    {"weight", required_argument, NULL, OPTION_WEIGHT},
    {"advertise", required_argument, NULL, OPTION_ADVERTISE},
    {"peer-advertise", required_argument, NULL, OPTION_PEER_ADVERTISE},
    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
    {"check-config", no_argument, NULL, OPTION_CHECK_CONFIG},
    {NULL, 0, NULL, 0},
};

/* Ends the process for options that ask only for that. */
static void answer_and_exit(int option)
{
    if (option == 'h') {
        (void)fputs(usage_text, stdout);
    } else {
        (void)puts("ringhopd " RH_VERSION);
    }
    exit(EXIT_DONE);
}

static int take_option(struct arguments *arguments, int option)
{
    switch (option) {
    case 'c':
        arguments->config_path = optarg;
        return 0;
    case 'n':
        arguments->node.id = optarg;
        return 0;
    case OPTION_LISTEN:
        arguments->node.listen = optarg;
        return 0;
    case OPTION_PEER:
        arguments->node.peer = optarg;
        return 0;
    case OPTION_ADMIN:
        arguments->node.admin = optarg;
        return 0;
    case OPTION_ZONE:
        arguments->node.zone = optarg;
        return 0;
    case OPTION_ADVERTISE:
        arguments->node.advertise = optarg;
        return 0;
    case OPTION_PEER_ADVERTISE:
        arguments->node.peer_advertise = optarg;
        return 0;
    case OPTION_CHECK_CONFIG:
        arguments->check_only = true;
        return 0;
    case OPTION_WEIGHT:
        arguments->has_weight = true;
        if (rh_weight_parse(rh_bytes_text(optarg), &arguments->node.weight_milli) != 0) {
            (void)fprintf(stderr, "ringhopd: --weight %s: a number from 0 to 1000 is wanted\n",
                          optarg);
            return RH_ERR_INVALID;
        }
        return 0;
    case OPTION_LOG_LEVEL:
        if (!rh_log_level_parse(optarg, &arguments->level)) {
            (void)fprintf(stderr, "ringhopd: --log-level %s: error, warn, info or debug\n", optarg);
            return RH_ERR_INVALID;
        }
        return 0;
    default:
        return RH_ERR_INVALID; /* getopt has said why */
    }
}

static int parse_arguments(int argc, char **argv, struct arguments *arguments)
{
    for (;;) {
        int option = getopt_long(argc, argv, "c:n:hV", long_options, NULL);
        if (option == -1) {
            break;
        }
        if (option == 'h' || option == 'V') {
            answer_and_exit(option);
        }
        int rv = take_option(arguments, option);
        if (rv != 0) {
            return rv;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "ringhopd: unexpected argument: %s\n", argv[optind]);
        return RH_ERR_INVALID;
    }
    if (arguments->node.id == NULL && !arguments->check_only) {
        (void)fprintf(stderr, "ringhopd: --node ID is missing\n");
        return RH_ERR_INVALID;
    }
    return 0;
}

static const char *config_path(const struct arguments *arguments)
{
    const char *from_environment = getenv("RINGHOP_CONFIG");
    if (arguments->config_path != NULL) {
        return arguments->config_path;
    }
    return from_environment != NULL && *from_environment != '\0' ? from_environment
                                                                 : "cluster.yaml";
}

/* Finds the node in the config, or makes it from flags. */
static int find_node(struct rh_config *config, const struct arguments *arguments,
                     const struct rh_config_node **ret_node, struct rh_reason *reason)
{
    struct rh_config_node node = arguments->node;
    if (rh_config_node_find(config, node.id) != NULL) {
        int rv =
            rh_config_node_override(config, &node, arguments->has_weight, "command line", reason);
        *ret_node = rh_config_node_find(config, node.id);
        return rv;
    }
    if (node.listen == NULL || node.peer == NULL || node.admin == NULL) {
        return rh_fail(reason, RH_ERR_INVALID,
                       "%s: there is no node %s; to start one that is not listed, give --listen, "
                       "--peer and --admin",
                       config->path, node.id);
    }
    if (!arguments->has_weight) {
        node.weight_milli = RH_WEIGHT_ONE;
    }
    int rv = rh_config_node_add(config, &node, "command line", reason);
    if (rv == 0) {
        *ret_node = rh_config_node_find(config, arguments->node.id);
    }
    return rv;
}

static int run(const struct rh_config *config, const struct rh_config_node *node,
               enum rh_log_level level)
{
    struct rh_logger logger;
    struct rh_reason reason = {{0}};
    rh_log_open(node->id, level, &logger);
    const struct rh_daemon_options options = {.config = config, .node = node, .logger = &logger};
    int rv = rh_daemon_run(&options, &reason);
    if (rv == 0) {
        rh_log(&logger, RH_LOG_INFO, "stopped");
        return EXIT_DONE;
    }
    rh_log(&logger, RH_LOG_ERROR, "failed code=%s reason=\"%s\"", rh_error_name(rv), reason.text);
    return rv == RH_ERR_CONFLICT ? EXIT_REFUSED : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    rh_ev_hold_standard_files();
    struct arguments arguments = {.level = RH_LOG_INFO};
    struct rh_config config;
    struct rh_reason reason = {{0}};
    const struct rh_config_node *node = NULL;
    if (parse_arguments(argc, argv, &arguments) != 0) {
        (void)fprintf(stderr, "Try 'ringhopd --help'.\n");
        return EXIT_USAGE;
    }
    if (rh_config_load(config_path(&arguments), &config, &reason) != 0) {
        (void)fprintf(stderr, "ringhopd: %s\n", reason.text);
        return EXIT_CONFIG;
    }
    int status = EXIT_DONE;
    if (arguments.node.id != NULL && find_node(&config, &arguments, &node, &reason) != 0) {
        (void)fprintf(stderr, "ringhopd: %s\n", reason.text);
        status = EXIT_CONFIG;
    } else if (!arguments.check_only) {
        status = run(&config, node, arguments.level);
    } else {
        (void)printf("%s: ok\n", config.path);
    }
    rh_config_finish(&config);
    return status;
}
