/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One seed: a cluster begins, works while everything fails that can fail, is healed, and must then
 * make progress. */
#include "tests/sim/sim.h"

/* Of the first configuration; 0: as the seed has it. */
extern unsigned world_members;

/* What became of it is in `sim`. */
void world_run(uint64_t seed, bool verbose);
