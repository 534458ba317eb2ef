/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The compiled policies of the cluster: follows policies and bindings in the watch caches. */
#include "apiserver/policy/policy.h"

struct loop;
struct pipeline;
struct policies;
struct policies_held;

/* On the state loop, or before it runs. */
struct policies *policies_new(struct pipeline *p, struct loop *state_loop);
/* On the state loop, or when it no longer runs; nothing is held any more. */
void policies_free(struct policies *p);
/* What is bound now, constant until it is let go; NULL: nothing. Any thread. */
struct policies_held *policies_hold(struct policies *p);
const struct policy_set *policies_held_set(const struct policies_held *h);
void policies_let_go(struct policies_held *h); /* NULL allowed */
