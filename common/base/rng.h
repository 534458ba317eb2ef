/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Random numbers: a seeded generator (xoshiro256**, Blackman and Vigna 2018) that pure cores and
 * the simulator take by parameter, and bytes from the kernel for names, tokens and seeds. */
#include "common/base/cleanup.h"

struct rng {
	uint64_t s[4];
};

void rng_init(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
/* Uniform in [0, n); n > 0. */
uint64_t rng_below(struct rng *r, uint64_t n);

/* Fills p from the kernel (getrandom); aborts when the kernel refuses. */
void rng_system(void *p, size_t n);
/* A random version 4 UUID as 36 characters and a NUL. */
void rng_uuid(char out[37]);
/* n characters of the alphabet of generated names (apimachinery util/rand:
 * "bcdfghjklmnpqrstvwxz2456789") and a NUL. */
void rng_name_suffix(char *out, size_t n);
