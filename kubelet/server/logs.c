/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/server/server.h"
void server_logs(struct kubelet *k, struct http_exchange *x, const char *ns, const char *pod,
                 const char *container, const char *query)
{
	http_reply(x, 501, NULL, SLICE_EMPTY);
}
