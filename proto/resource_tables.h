/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What gen_resources.py defines beside the public tables, for resource_table.c alone. */
#include <stdint.h>

/* Indexes into resource_table, sorted by resource, group, version, subresource. */
extern const uint16_t resource_by_name[];
