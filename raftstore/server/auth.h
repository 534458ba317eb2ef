/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Who calls, and whether he may: the state of raftstore/auth that is in force on this member, the
 * tokens that are valid on it, passwords and JSON web tokens. Any thread, unless it says otherwise.
 *
 * A read checks rights after its transaction has begun: whatever was taken away before something
 * was written has been published before that can be read. A write checks them when it is applied,
 * as every member does. */
#include "raftstore/server/apply.h"

/* Reads the state and the keys of tokens. Once the store is open. */
int auth_start(struct server *s, struct err *err);
void auth_stop(struct server *s);
/* The tables have been replaced as a whole. */
int auth_reload(struct server *s);
/* A reference of the state in force. */
struct auth_view *auth_now(struct server *s);

/* Who has sent the call: by its token, or by its certificate with --client-cert-auth; nobody when
 * it tells nothing, or auth is off. INVALID_AUTH_TOKEN. */
int auth_identify(struct server *s, struct rpc_call *call, struct arena *a, struct identity *ret);
/* Has the token been made by an entry that this member has not applied? */
bool auth_token_is_early(struct server *s, struct rpc_call *call);
/* Gives the unary call to the method when that entry has been applied. */
void auth_wait(struct server *s, const struct rpc_method *m, struct rpc_call *call,
               struct slice message);
/* For the request; call it before the command is made. */
int request_identify(struct server *s, struct request *q);

enum auth_level { AUTH_KNOWN, AUTH_ADMIN };
/* Fails the call, and returns true, when it may not. */
bool auth_refuses(struct server *s, struct rpc_call *call, enum auth_level level);
int auth_check_call(struct server *s, struct rpc_call *call, enum auth_level level);
/* May the caller read this? Also: the keys of a lease. */
int auth_check_read(struct server *s, struct rpc_call *call, struct slice key,
                    struct slice range_end);
int auth_check_read_lease(struct server *s, struct rpc_call *call, int64_t lease);

/* --- storage thread --- */

int auth_applier_open(struct applier *ap);
void auth_applier_deinit(struct applier *ap);
int auth_check_command(struct applier *ap, enum command_kind kind, const struct identity *who,
                       const ProtobufCMessage *m);
/* The commands that change the auth state. -ERR_CORRUPT: it is none. */
int auth_apply(struct applier *ap, enum command_kind kind, const ProtobufCMessage *m);
/* The transaction has been committed. */
void auth_publish(struct applier *ap);

/* --- passwords: slow by design, for a worker --- */

enum { PASSWORD_MAX = 72, BCRYPT_COST_MIN = 4, BCRYPT_COST_MAX = 31, BCRYPT_COST_DEFAULT = 10 };
/* Appends the bcrypt hash in base64. */
void password_hash(const char *password, unsigned cost, struct buf *out);
/* Takes as long for a user that there is not (NULL) as for one that there is. */
bool password_matches(const struct auth_user *u, const char *password, unsigned cost);

/* Appends a token for the user. A simple one (*ret_simple) is a name and where in the log it was
 * made: the caller has its name replicated under the hash, then appends ".INDEX".
 * TOKEN_VERIFY_ONLY. */
int auth_make_token(struct server *s, const struct auth_user *u, uint64_t revision, struct buf *out,
                    bool *ret_simple);
/* Of a simple token's name. */
void token_hash(struct slice name, uint8_t out[TOKEN_HASH_BYTES]);
