/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The heap of a simulated world: every malloc of the linked objects comes out of one region, which
 * is emptied when a seed ends. So a member that crashes needs no cleaning up, addresses are the
 * same in every run, and allocation is cheap. Under a sanitizer malloc is the library's own and
 * what a crash leaves behind leaks. */
#include <stddef.h>

/* Forgets all that is allocated. */
void sim_heap_reset(void);
size_t sim_heap_used(void);
