/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What etcd answers instead of a result: outcome, gRPC status code, text. The texts are part of the
 * wire contract (etcd api/v3rpc/rpctypes): clients compare them.
 *
 * Functions of MVCC and the services return 0, one of these (positive), or -ERR_x when the
 * storage failed. */

/*        name                 code  text                                                        */
#define OUTCOME_TABLE(X)                                                                    \
	X(EMPTY_KEY, 3, "etcdserver: key is not provided")                                  \
	X(KEY_NOT_FOUND, 3, "etcdserver: key not found")                                    \
	X(VALUE_PROVIDED, 3, "etcdserver: value is provided")                               \
	X(LEASE_PROVIDED, 3, "etcdserver: lease is provided")                               \
	X(TOO_MANY_OPS, 3, "etcdserver: too many operations in txn request")                \
	X(DUPLICATE_KEY, 3, "etcdserver: duplicate key given in txn request")               \
	X(INVALID_SORT, 3, "etcdserver: invalid sort option")                               \
	X(TOO_LARGE, 3, "etcdserver: request is too large")                                 \
	X(COMPACTED, 11, "etcdserver: mvcc: required revision has been compacted")          \
	X(FUTURE_REVISION, 11, "etcdserver: mvcc: required revision is a future revision")  \
	X(NO_SPACE, 8, "etcdserver: mvcc: database space exceeded")                         \
	X(LEASE_NOT_FOUND, 5, "etcdserver: requested lease not found")                      \
	X(LEASE_EXISTS, 9, "etcdserver: lease already exists")                              \
	X(LEASE_TTL_TOO_LARGE, 11, "etcdserver: too large lease TTL")                       \
	X(TOO_MANY_REQUESTS, 8, "etcdserver: too many requests")                            \
	X(NO_LEADER, 14, "etcdserver: no leader")                                           \
	X(NOT_LEADER, 9, "etcdserver: not leader")                                          \
	X(LEADER_CHANGED, 14, "etcdserver: leader changed")                                 \
	X(STOPPED, 14, "etcdserver: server stopped")                                        \
	X(TIMEOUT, 14, "etcdserver: request timed out")                                     \
	X(CORRUPT, 15, "etcdserver: corrupt cluster")                                       \
	X(UNHEALTHY, 14, "etcdserver: unhealthy cluster")                                   \
	X(TIMEOUT_LEADER_FAIL, 14,                                                          \
	  "etcdserver: request timed out, possibly due to previous leader failure")         \
	X(TIMEOUT_CONNECTION_LOST, 14,                                                      \
	  "etcdserver: request timed out, possibly due to connection lost")                 \
	X(TIMEOUT_LEADER_TRANSFER, 14,                                                      \
	  "etcdserver: request timed out, leader transfer took too long")                   \
	X(NOT_FOR_LEARNER, 14, "etcdserver: rpc not supported for learner")                 \
	X(MEMBER_EXIST, 9, "etcdserver: member ID already exist")                           \
	X(PEER_URL_EXIST, 9, "etcdserver: Peer URLs already exists")                        \
	X(MEMBER_NOT_ENOUGH_STARTED, 9,                                                     \
	  "etcdserver: re-configuration failed due to not enough started members")          \
	X(MEMBER_BAD_URLS, 3, "etcdserver: given member URLs are invalid")                  \
	X(MEMBER_NOT_LEARNER, 9, "etcdserver: can only promote a learner member")           \
	X(MEMBER_LEARNER_NOT_READY, 9,                                                      \
	  "etcdserver: can only promote a learner member which is in sync with leader")     \
	X(TOO_MANY_LEARNERS, 9, "etcdserver: too many learner members in cluster")          \
	X(TOO_MANY_MEMBERS, 9, "etcdserver: too many members in cluster")                   \
	X(MEMBER_NOT_FOUND, 5, "etcdserver: member not found")                              \
	X(BAD_TRANSFEREE, 9, "etcdserver: bad leader transferee")                           \
	X(AUTH_NOT_ENABLED, 9, "etcdserver: authentication is not enabled")                 \
	X(ROOT_USER_NOT_EXIST, 9, "etcdserver: root user does not exist")                   \
	X(ROOT_ROLE_NOT_EXIST, 9, "etcdserver: root user does not have root role")          \
	X(USER_EMPTY, 3, "etcdserver: user name is empty")                                  \
	X(USER_ALREADY_EXISTS, 9, "etcdserver: user name already exists")                   \
	X(USER_NOT_FOUND, 9, "etcdserver: user name not found")                             \
	X(ROLE_EMPTY, 3, "etcdserver: role name is empty")                                  \
	X(ROLE_ALREADY_EXISTS, 9, "etcdserver: role name already exists")                   \
	X(ROLE_NOT_FOUND, 9, "etcdserver: role name not found")                             \
	X(ROLE_NOT_GRANTED, 9, "etcdserver: role is not granted to the user")               \
	X(PERMISSION_NOT_GIVEN, 3, "etcdserver: permission not given")                      \
	X(PERMISSION_NOT_GRANTED, 9, "etcdserver: permission is not granted to the role")   \
	X(PERMISSION_DENIED, 7, "etcdserver: permission denied")                            \
	X(AUTH_FAILED, 3, "etcdserver: authentication failed, invalid user ID or password") \
	X(AUTH_OLD_REVISION, 3, "etcdserver: revision of auth store is old")                \
	X(INVALID_AUTH_TOKEN, 16, "etcdserver: invalid auth token")                         \
	X(INVALID_AUTH_MGMT, 3, "etcdserver: invalid auth management")                      \
	X(NO_PASSWORD_USER, 2,                                                              \
	  "auth: authentication failed, password was given for no password user")           \
	X(PASSWORD_TOO_LONG, 2, "bcrypt: password length exceeds 72 bytes")                 \
	X(TOKEN_VERIFY_ONLY, 2, "auth: token signing attempted with verify-only key")       \
	X(LEADER_KEY_MISSING, 2, "\"leader\" field must be provided")                       \
	X(ELECTION_NOT_LEADER, 2, "election: not leader")                                   \
	X(ELECTION_NO_LEADER, 2, "election: no leader")                                     \
	X(BAD_DOWNGRADE_VERSION, 3, "etcdserver: wrong downgrade target version format")    \
	X(DOWNGRADE_TARGET, 3, "etcdserver: invalid downgrade target version")              \
	X(NO_DOWNGRADE, 9, "etcdserver: no inflight downgrade job")                         \
	X(SESSION_EXPIRED, 2, "mutex: session is expired")                                  \
	X(BAD_MESSAGE, 13, "grpc: error while unmarshalling: proto: illegal wireType")      \
	X(STORAGE_FAILED, 14, "etcdserver: storage failed")

enum outcome {
	OUTCOME_OK,
#define X(name, code, text) OUTCOME_##name,
	OUTCOME_TABLE(X)
#undef X
	    OUTCOMES,
};

/* Each takes any return value of the functions above; negative ones are STORAGE_FAILED, but for
 * -ERR_NO_SPACE. */
int outcome_grpc_code(int outcome);
const char *outcome_text(int outcome);
