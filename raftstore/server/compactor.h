/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Proposes compactions as --auto-compaction-mode and -retention say. On the loop. */
#include "raftstore/server/server.h"

void compactor_start(struct server *s);
void compactor_stop(struct server *s);
