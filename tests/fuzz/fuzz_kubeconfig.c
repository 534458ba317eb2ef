/* SPDX-License-Identifier: Apache-2.0 */
/* Kubeconfig files: one that is taken says where to go and whom to be. */
#include <assert.h>
#include "common/daemon/kubeconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const contexts[] = {NULL, "a"};

	for (size_t i = 0; i < 2; i++) {
		struct kubeconfig k;

		if (kubeconfig_parse(slice_of(data, size), "/etc/kubernetes", contexts[i], &k,
		                     NULL) < 0)
			continue;
		assert(*k.server && *k.grpc_endpoints && *k.ns);
		assert(k.is_tls == !!strncmp(k.server, "http://", 7));
		kubeconfig_deinit(&k);
	}
	return 0;
}
