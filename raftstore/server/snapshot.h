/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Maintenance.Snapshot: a compact copy of the store, then the SHA-256 of it, in messages of 32 KiB
 * that leave as fast as the client takes them. The copy is made in a file that has no name. */
#include "raftstore/server/server.h"

void on_snapshot(struct rpc_call *call, struct slice message, void *server);
