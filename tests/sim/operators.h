/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Who operates the cluster while it works: moves the leader, adds members (which learn first),
 * promotes and removes them, defragments. */
#include <stdbool.h>

/* `busy`: how much of that, 0 to 8. */
void operators_start(unsigned busy);
/* From now on it only finds out who belongs to the cluster, and starts those and ends the others.
 */
void operators_finish(void);
bool operators_finished(void);
void operators_reset(void);
