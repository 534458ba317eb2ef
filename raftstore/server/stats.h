/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The metrics under etcd's family names. Any thread. */
#include "raftstore/server/server.h"

struct stats;

void stats_start(struct server *s);
void stats_stop(struct server *s);
void stats_sync(struct stats *st, uint64_t ns);   /* of the log */
void stats_commit(struct stats *st, uint64_t ns); /* a checkpoint of the store */
void stats_leader_change(struct stats *st);
void stats_proposal_failed(struct stats *st);
void stats_read_failed(struct stats *st);
void stats_put(struct stats *st);
void stats_range(struct stats *st);
