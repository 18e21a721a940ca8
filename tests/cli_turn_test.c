/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/turn.h"
#include "tests/test.h"

#include <string.h>

/* The passwords are those of `openssl dgst -sha1 -hmac SECRET -binary | base64`. */
static void credentials_are_those_that_others_compute(void **state RH_UNUSED)
{
    static const struct {
        const char *secret;
        int64_t expiry_s;
        const char *user;
        const char *username;
        const char *password;
    } rows[] = {
        {"secret", 1764003600, "ada", "1764003600:ada", "LK7vcQZpydbLhYkyDxnnmYl0G2Y="},
        {"north", 1433895918, "mbzrxpgjys", "1433895918:mbzrxpgjys",
         "d2Q1V6JRLjCTMOhoc8cTgEoi7u0="},
        {"x", 0, "", "0", "lXpKaxdX1dbl69v74KelRbbmGTM="},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rh_turn_credentials made;
        assert_int_equal(rh_turn_make(rh_bytes_text(rows[i].secret), rows[i].expiry_s,
                                      rh_bytes_text(rows[i].user), &made),
                         0);
        assert_string_equal(made.username, rows[i].username);
        assert_string_equal(made.password, rows[i].password);
    }
}

static void the_longest_user_and_secret_have_room(void **state RH_UNUSED)
{
    char user[RH_TURN_USER_SIZE_MAX + 1];
    char secret[RH_TURN_SECRET_MAX];
    struct rh_turn_credentials made;
    memset(user, 'u', sizeof(user));
    memset(secret, 's', sizeof(secret));
    assert_true(rh_turn_user_valid(rh_bytes(user, RH_TURN_USER_SIZE_MAX)));
    assert_false(rh_turn_user_valid(rh_bytes(user, sizeof(user))));
    assert_int_equal(rh_turn_make(rh_bytes(secret, sizeof(secret)), INT64_MAX,
                                  rh_bytes(user, RH_TURN_USER_SIZE_MAX), &made),
                     0);
    assert_int_equal(strlen(made.username), strlen("9223372036854775807:") + RH_TURN_USER_SIZE_MAX);
    assert_int_equal(strlen(made.password), RH_TURN_PASSWORD_SIZE - 1);
}

static void users_and_urls_are_checked(void **state RH_UNUSED)
{
    static const char *const users[] = {"", "a b", "a\tb", "\x7f", "\xc3\xa4", "a\n"};
    static const char *const urls[] = {"",         "turn:",   "turn",  "http://a",
                                       "turn:a b", "xturn:a", "TURN:a"};
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
        assert_false(rh_turn_user_valid(rh_bytes_text(users[i])));
    }
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        assert_false(rh_turn_url_valid(rh_bytes_text(urls[i])));
    }
    assert_true(rh_turn_user_valid(rh_bytes_text("user:42")));
    assert_true(rh_turn_url_valid(rh_bytes_text("turns:turn.example.org:5349?transport=tcp")));
    assert_true(rh_turn_url_valid(rh_bytes_text("stun:a")));
}

static void check_secret(struct rh_bytes content, const char *expected)
{
    struct rh_bytes secret = {0};
    struct rh_reason reason = {""};
    int rv = rh_turn_secret(content, &secret, &reason);
    assert_int_equal(rv, expected == NULL ? RH_ERR_INVALID : 0);
    if (expected == NULL) {
        assert_true(reason.text[0] != '\0');
        assert_null(secret.data);
    } else {
        assert_true(rh_bytes_equal_text(secret, expected));
    }
}

static void a_secret_is_one_line_with_or_without_its_end(void **state RH_UNUSED)
{
    static char longest[RH_TURN_SECRET_MAX + 2];
    memset(longest, 's', sizeof(longest));
    check_secret(rh_bytes_text("geheim"), "geheim");
    check_secret(rh_bytes_text("geheim\n"), "geheim");
    check_secret(rh_bytes_text("geheim\r\n"), "geheim");
    check_secret(rh_bytes_text(" with blanks "), " with blanks ");
    check_secret(rh_bytes_text(""), NULL);
    check_secret(rh_bytes_text("\n"), NULL);
    check_secret(rh_bytes_text("\r\n"), NULL);
    check_secret(rh_bytes_text("a\nb\n"), NULL);
    check_secret(rh_bytes_text("a\n\n"), NULL);
    check_secret(rh_bytes("a\0b", 3), NULL);
    check_secret(rh_bytes(longest, RH_TURN_SECRET_MAX + 1), NULL);
    longest[RH_TURN_SECRET_MAX] = '\n';
    struct rh_bytes secret;
    struct rh_reason reason;
    assert_int_equal(rh_turn_secret(rh_bytes(longest, RH_TURN_SECRET_MAX + 1), &secret, &reason),
                     0);
    assert_int_equal(secret.size, RH_TURN_SECRET_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RH_TEST(credentials_are_those_that_others_compute),
        RH_TEST(the_longest_user_and_secret_have_room),
        RH_TEST(users_and_urls_are_checked),
        RH_TEST(a_secret_is_one_line_with_or_without_its_end),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
