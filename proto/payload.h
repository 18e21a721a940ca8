/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_PROTO_PAYLOAD_H
#define RH_PROTO_PAYLOAD_H

/*
 * What a publisher sent, as bytes and the form in which clients get it: exactly one of the members
 * `json`, `data`, `base64` of a message object.
 */

#include "base/bytes.h"

enum rh_payload_kind {
    RH_PAYLOAD_TEXT,   /* `data`: UTF-8, checked */
    RH_PAYLOAD_JSON,   /* `json`: one JSON value, checked, passed through byte for byte */
    RH_PAYLOAD_BINARY, /* `base64`: any bytes; held raw, encoded on the way out */
};

struct rh_payload {
    enum rh_payload_kind kind;
    struct rh_bytes bytes;
};

#define RH_MESSAGE_ID_SIZE_MAX 128 /* bytes of a publisher's message id: printable ASCII */
#define RH_KEY_SIZE_MAX        512 /* bytes of a key: UTF-8 without control characters */

#define RH_CLIENT_ID_SIZE_MAX   128 /* bytes of a client's name: UTF-8 without control characters */
#define RH_CLIENT_META_SIZE_MAX 512 /* bytes of what it says of itself: JSON */

#define RH_CONTENT_TYPE_SIZE_MAX 255 /* bytes of the content type of a state: printable ASCII */

/* Whether |key| is 1 to RH_KEY_SIZE_MAX bytes of UTF-8 without control characters (C0, DEL, C1). */
bool rh_key_valid(struct rh_bytes key);

/* Whether |id| is 1 to RH_MESSAGE_ID_SIZE_MAX bytes of printable ASCII (0x20 to 0x7e). */
bool rh_message_id_valid(struct rh_bytes id);

/* Whether |client| is 1 to RH_CLIENT_ID_SIZE_MAX bytes of UTF-8 without control characters. */
bool rh_client_id_valid(struct rh_bytes client);

/* Whether |text| is 0 to RH_CONTENT_TYPE_SIZE_MAX bytes of printable ASCII. */
bool rh_content_type_valid(struct rh_bytes text);

#endif
