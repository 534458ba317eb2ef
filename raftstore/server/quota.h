/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The quota of the store: a write that would go beyond it is refused and raises the NOSPACE alarm,
 * which refuses all further growth until an operator has made room and disarmed it. */
#include "raftstore/server/server.h"

/* May this many bytes be added? 0 or NO_SPACE. Any thread. */
int quota_check(struct server *s, size_t bytes);
