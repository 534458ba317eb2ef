/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The clocks. Only shells and edges read them; pure cores get `now` by parameter. */
#include <stdint.h>

uint64_t clock_mono_ns(void);    /* never goes back, stops in suspend */
uint64_t clock_boot_ms(void);    /* never goes back, counts suspend */
int64_t clock_real_ns(void);     /* since 1970, may jump */
static inline uint64_t clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000;
}
