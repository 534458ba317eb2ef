/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What etcd answers instead of a result: outcome, gRPC status code, text. The texts are part of the
 * wire contract (etcd api/v3rpc/rpctypes): clients compare them.
 *
 * Functions of MVCC and the services return 0, one of these (positive), or -ERR_x when the
 * storage failed. */

/*        name                 code  text                                                        */
#define OUTCOME_TABLE(X)                                                                   \
	X(EMPTY_KEY, 3, "etcdserver: key is not provided")                                 \
	X(KEY_NOT_FOUND, 3, "etcdserver: key not found")                                   \
	X(VALUE_PROVIDED, 3, "etcdserver: value is provided")                              \
	X(LEASE_PROVIDED, 3, "etcdserver: lease is provided")                              \
	X(TOO_MANY_OPS, 3, "etcdserver: too many operations in txn request")               \
	X(DUPLICATE_KEY, 3, "etcdserver: duplicate key given in txn request")              \
	X(INVALID_SORT, 3, "etcdserver: invalid sort option")                              \
	X(TOO_LARGE, 3, "etcdserver: request is too large")                                \
	X(COMPACTED, 11, "etcdserver: mvcc: required revision has been compacted")         \
	X(FUTURE_REVISION, 11, "etcdserver: mvcc: required revision is a future revision") \
	X(NO_SPACE, 8, "etcdserver: mvcc: database space exceeded")                        \
	X(LEASE_NOT_FOUND, 5, "etcdserver: requested lease not found")                     \
	X(LEASE_EXISTS, 9, "etcdserver: lease already exists")                             \
	X(LEASE_TTL_TOO_LARGE, 11, "etcdserver: too large lease TTL")                      \
	X(TOO_MANY_REQUESTS, 8, "etcdserver: too many requests")                           \
	X(NO_LEADER, 14, "etcdserver: no leader")                                          \
	X(NOT_LEADER, 9, "etcdserver: not leader")                                         \
	X(LEADER_CHANGED, 14, "etcdserver: leader changed")                                \
	X(STOPPED, 14, "etcdserver: server stopped")                                       \
	X(TIMEOUT, 14, "etcdserver: request timed out")                                    \
	X(CORRUPT, 15, "etcdserver: corrupt cluster")                                      \
	X(UNHEALTHY, 14, "etcdserver: unhealthy cluster")                                  \
	X(MEMBER_NOT_FOUND, 5, "etcdserver: member not found")                             \
	X(BAD_TRANSFEREE, 9, "etcdserver: bad leader transferee")                          \
	X(AUTH_NOT_ENABLED, 9, "etcdserver: authentication is not enabled")                \
	X(ROOT_USER_NOT_EXIST, 9, "etcdserver: root user does not exist")                  \
	X(BAD_MESSAGE, 13, "grpc: error while unmarshalling: proto: illegal wireType")     \
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
