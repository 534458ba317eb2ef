/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Holders of leases, each with a key that hangs on its lease. A lease must live as long as was
 * promised with the last answer to its renewal, whoever leads by then, and must end some time after
 * the renewals do. */
#include <stdbool.h>
#include <stdint.h>
#include "tests/sim/check.h"

void leases_start(unsigned n);
/* A change of a key below their prefix was committed. */
void leases_change(const struct change *c);
void leases_finish(void);
/* All that are not renewed any more have ended. */
bool leases_finished(void);
const char *leases_waiting_for(void);
void leases_reset(void);

#define LEASES_PREFIX "/registry/leases/"
