/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Watchers, which must be told exactly what the model has: every change of what they watch, once,
 * in order, all of one revision together, from the revision that they ask for, over members that
 * come and go; and what a progress notice says is behind them must be. */
#include <stdbool.h>

void watchers_start(unsigned n);
void watchers_finish(void);
/* All are up to date with the model. */
bool watchers_finished(void);
const char *watchers_waiting_for(void);
void watchers_reset(void);
