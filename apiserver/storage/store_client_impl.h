/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What store_client.c and store_watch.c share. */
#include "apiserver/storage/store_client.h"
#include "common/net/rpc_client.h"

struct store_client {
	struct rpc_channel *channel;
	uint32_t timeout_ms;
};
