/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a member with an empty data directory begins with: the members of --initial-cluster, with
 * the ids that etcd gives them. A new cluster's are made of the flags, after asking the others
 * whether this member has been there before; who joins learns them from the cluster that is there.
 */
#include "raftstore/server/server.h"

struct bootstrap;
struct members;

/* The members that --initial-cluster names, without ids. */
_must_use_ int bootstrap_parse_cluster(struct server *s, struct members *ret, struct err *err);

/* `first` NULL: it failed, see err. The ids of the server are set. On the loop, perhaps before
 * bootstrap_start returns. */
typedef void (*bootstrap_fn)(struct server *s, const struct members *first, bool join,
                             struct err *err);
_must_use_ int bootstrap_start(struct server *s, bootstrap_fn done, struct err *err);
/* Also to free it when it is done; nothing is called but ended(arg) (may be NULL), when nothing is
 * left of it. Without one that runs it does nothing. */
void bootstrap_stop(struct server *s, loop_fn ended, void *arg);
