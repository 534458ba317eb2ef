/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/clock.h"

#include <time.h>

static int64_t read_ns(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return (uint64_t)read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_boot_ms(void)
{
	return (uint64_t)read_ns(CLOCK_BOOTTIME) / 1000000;
}

int64_t clock_real_ns(void)
{
	return read_ns(CLOCK_REALTIME);
}
