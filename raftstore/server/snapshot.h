/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Maintenance.Snapshot: the store as a database of etcd's (etcd_export.h), then the SHA-256 of it, in
 * messages of 32 KiB that leave as fast as the client takes them. It is made in a file that has no
 * name, so that a slow client holds no transaction. */
#include "raftstore/server/server.h"

void on_snapshot(struct rpc_call *call, struct slice message, void *server);
