/* SPDX-License-Identifier: Apache-2.0 */
/* Two threads of libuv write one counter without a lock: what the thread sanitizer must report with
 * the options that the tests run with, or their silence means nothing. */
#include <stdio.h>
#include <uv.h>

enum { ROUNDS = 100000 };

static unsigned counter;

static void count(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++)
		counter++;
}

int main(void)
{
	uv_thread_t threads[2];
	for (size_t i = 0; i < 2; i++)
		if (uv_thread_create(&threads[i], count, NULL))
			return 1;
	for (size_t i = 0; i < 2; i++)
		uv_thread_join(&threads[i]);
	printf("%u\n", counter);
	return 0;
}
