/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/arguments.h"
#include "cli/commands.h"
#include "tests/test.h"

#include <stdio.h>
#include <string.h>

#define ARGUMENTS_MAX 12

/* getopt_long() reorders argv and wants it writable; the texts themselves it leaves alone. */
struct line {
    char texts[ARGUMENTS_MAX][64];
    char *argv[ARGUMENTS_MAX + 1];
    int argc;
};

/* Splits at blanks; `''` is an empty argument. */
static void make_line(const char *text, struct line *line)
{
    char copy[256];
    (void)snprintf(copy, sizeof(copy), "%s", text);
    memset(line, 0, sizeof(*line));
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
        assert_true(line->argc < ARGUMENTS_MAX);
        strcpy(line->texts[line->argc], strcmp(word, "''") == 0 ? "" : word);
        line->argv[line->argc] = line->texts[line->argc];
        line->argc++;
    }
}

static void check_refused(const char *text, const char *expected)
{
    struct line line;
    struct rh_cli cli = {0};
    struct rh_arguments arguments;
    struct rh_reason reason = {""};
    make_line(text, &line);
    assert_int_equal(rh_arguments_parse(&cli, line.argc, line.argv, &arguments, &reason),
                     RH_ERR_INVALID);
    assert_string_equal(reason.text, expected);
}

static void commands_are_found_by_name_and_sorted(void **state RH_UNUSED)
{
    for (size_t i = 0; i < rh_commands_count; i++) {
        const struct rh_command *command = rh_commands[i];
        assert_ptr_equal(rh_command_find(command->name), command);
        assert_true(i == 0 || strcmp(rh_commands[i - 1]->name, command->name) < 0);
    }
    assert_null(rh_command_find(""));
    assert_null(rh_command_find("own"));
    assert_null(rh_command_find("ownerr"));
}

static void every_command_has_a_help_with_an_example(void **state RH_UNUSED)
{
    for (size_t i = 0; i < rh_commands_count; i++) {
        const struct rh_command *command = rh_commands[i];
        char example[64];
        (void)snprintf(example, sizeof(example), "\n  ringhop %s", command->name);
        const char *section = strstr(command->help, "\nExample:\n");
        assert_non_null(section);
        assert_non_null(strstr(section, example));
        assert_memory_equal(command->synopsis, command->name, strlen(command->name));
        /* Every own option is explained. */
        for (const struct option *own = command->options; own != NULL && own->name != NULL; own++) {
            char option[64];
            (void)snprintf(option, sizeof(option), "\n      --%s", own->name);
            assert_non_null(strstr(command->help, option));
            (void)snprintf(option, sizeof(option), "--%s", own->name);
            assert_non_null(strstr(command->synopsis, option));
        }
        /* Lines fit on a terminal. */
        for (const char *at = command->help; *at != '\0';) {
            size_t size = strcspn(at, "\n");
            assert_true(size <= 100);
            at += size + (at[size] == '\n');
        }
    }
}

static void read_file(const char *path, char *out, size_t out_size)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t size = fread(out, 1, out_size - 1, file);
    out[size] = '\0';
    (void)fclose(file);
}

/* Whether one of the synopses of |command|, which are lines that begin with its name, has |option|. */
static bool manual_has(const char *manual, const char *command, const char *option)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "\n*%s*", command);
    for (const char *entry = strstr(manual, name); entry != NULL; entry = strstr(entry + 1, name)) {
        const char *found = strstr(entry, option);
        if (found != NULL && found < strchr(entry + 1, '\n')) {
            return true;
        }
    }
    return false;
}

static void the_manual_page_and_the_completion_know_all_commands(void **state RH_UNUSED)
{
    static char manual[32768];
    static char completion[32768];
    char text[64];
    read_file("cli/ringhop.1.scd", manual, sizeof(manual));
    read_file("cli/completions/ringhop.bash", completion, sizeof(completion));
    for (size_t i = 0; i < rh_commands_count; i++) {
        const struct rh_command *command = rh_commands[i];
        assert_true(manual_has(manual, command->name, command->name));
        (void)snprintf(text, sizeof(text), "[%s]='", command->name);
        const char *known = strstr(completion, text);
        assert_non_null(known);
        const char *known_end = strchr(known + strlen(text), '\'');
        for (const struct option *own = command->options; own != NULL && own->name != NULL; own++) {
            (void)snprintf(text, sizeof(text), "--%s", own->name);
            const char *in_completion = strstr(known, text);
            assert_true(manual_has(manual, command->name, text));
            assert_true(in_completion != NULL && in_completion < known_end);
        }
    }
}

static void global_options_may_stand_before_and_after_the_command(void **state RH_UNUSED)
{
    static const char *const lines[] = {
        "ringhop --config x.yaml --json --timeout 2s owner k1 k2",
        "ringhop owner --config x.yaml k1 --json k2 --timeout 2s",
        "ringhop -c x.yaml owner -j -t 2s k1 k2",
        "ringhop -cx.yaml -jt2s owner k1 k2",
        "ringhop --json owner --timeout=2s --config=x.yaml k1 k2",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct line line;
        struct rh_cli cli = {0};
        struct rh_arguments arguments;
        struct rh_reason reason = {""};
        make_line(lines[i], &line);
        assert_int_equal(rh_arguments_parse(&cli, line.argc, line.argv, &arguments, &reason), 0);
        assert_int_equal(arguments.want, RH_ARGUMENTS_RUN);
        assert_ptr_equal(cli.command, &rh_command_owner);
        assert_string_equal(cli.config_path, "x.yaml");
        assert_true(cli.json);
        assert_int_equal(cli.timeout_ms, 2000);
        assert_int_equal(arguments.operands_count, 2);
        assert_string_equal(arguments.operands[0], "k1");
        assert_string_equal(arguments.operands[1], "k2");
        rh_arguments_finish(&cli, &arguments);
    }
}

static void two_dashes_end_the_options(void **state RH_UNUSED)
{
    struct line line;
    struct rh_cli cli = {0};
    struct rh_arguments arguments;
    struct rh_reason reason = {""};
    make_line("ringhop publish k -- --json", &line);
    assert_int_equal(rh_arguments_parse(&cli, line.argc, line.argv, &arguments, &reason), 0);
    assert_false(cli.json);
    assert_int_equal(arguments.operands_count, 2);
    assert_string_equal(arguments.operands[1], "--json");
    rh_arguments_finish(&cli, &arguments);
}

static void help_and_version_need_nothing_else(void **state RH_UNUSED)
{
    static const struct {
        const char *line;
        enum rh_arguments_want want;
    } rows[] = {
        {"ringhop --help", RH_ARGUMENTS_HELP},
        {"ringhop -h", RH_ARGUMENTS_HELP},
        {"ringhop --version", RH_ARGUMENTS_VERSION},
        {"ringhop drain --help", RH_ARGUMENTS_COMMAND_HELP},
        {"ringhop drain n1 n2 n3 -h", RH_ARGUMENTS_COMMAND_HELP},
        {"ringhop publish -V", RH_ARGUMENTS_VERSION},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct line line;
        struct rh_cli cli = {0};
        struct rh_arguments arguments;
        struct rh_reason reason = {""};
        make_line(rows[i].line, &line);
        assert_int_equal(rh_arguments_parse(&cli, line.argc, line.argv, &arguments, &reason), 0);
        assert_int_equal(arguments.want, rows[i].want);
        rh_arguments_finish(&cli, &arguments);
    }
}

static void what_is_wrong_is_named_with_where_help_is(void **state RH_UNUSED)
{
    static const struct {
        const char *line;
        const char *reason;
    } rows[] = {
        {"ringhop", "a command is missing; `ringhop --help` lists them"},
        {"ringhop ownr", "`ownr` is not a command; `ringhop --help` lists them"},
        {"ringhop --frob owner", "--frob is not an option here; see `ringhop --help`"},
        {"ringhop -x owner", "-x is not an option here; see `ringhop --help`"},
        {"ringhop owner --frob", "--frob is not an option here; see `ringhop owner --help`"},
        {"ringhop owner -jx k", "-x is not an option here; see `ringhop owner --help`"},
        {"ringhop owner --json=1 k", "--json=1 is not an option here; see `ringhop owner --help`"},
        {"ringhop owner k --config", "--config needs a value; see `ringhop owner --help`"},
        {"ringhop owner k -c", "-c needs a value; see `ringhop owner --help`"},
        {"ringhop owner --wait k", "--wait is not an option here; see `ringhop owner --help`"},
        {"ringhop ring --timeout 5",
         "--timeout: `5` is not a duration with a unit, like 500ms, 5s or 1m"},
        {"ringhop ring --timeout 0",
         "--timeout: `0` is not a duration with a unit, like 500ms, 5s or 1m"},
        {"ringhop ring extra", "too many arguments; usage: ringhop ring [--offline]"},
        {"ringhop drain", "an argument is missing; usage: ringhop drain [--wait] NODE"},
        {"ringhop drain a b", "too many arguments; usage: ringhop drain [--wait] NODE"},
        {"ringhop weight n1", "an argument is missing; usage: ringhop weight [--wait] NODE WEIGHT"},
        {"ringhop publish k a b",
         "too many arguments; usage: ringhop publish [--id ID] [--type text|json|binary] KEY "
         "[DATA]\n       ringhop publish --stdin [--format tab|json] [--id ID] [--type TYPE] "
         "[KEY]"},
        {"ringhop publish --type xml k d", "--type: `xml` is not text, json or binary"},
        {"ringhop publish --id '' k d",
         "--id: a message id is 1 to 128 printable ASCII characters"},
        {"ringhop listen --count 0 k", "--count: `0` is not a number above 0"},
        {"ringhop listen --count x k", "--count: `x` is not a number above 0"},
        {"ringhop listen --after 7 k", "--after: `7` is not a position: 0, or incarnation:seq like "
                                       "c0ffee0123456789:9"},
        {"ringhop plan --add n 4 --remove n1:2", "`n1:2`: a node is removed without a weight"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check_refused(rows[i].line, rows[i].reason);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(commands_are_found_by_name_and_sorted),
        RH_TEST(every_command_has_a_help_with_an_example),
        RH_TEST(the_manual_page_and_the_completion_know_all_commands),
        RH_TEST(global_options_may_stand_before_and_after_the_command),
        RH_TEST(two_dashes_end_the_options),
        RH_TEST(help_and_version_need_nothing_else),
        RH_TEST(what_is_wrong_is_named_with_where_help_is),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
