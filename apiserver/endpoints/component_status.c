/* SPDX-License-Identifier: Apache-2.0 */
/* componentstatuses: deprecated, and empty here: components tell their health themselves. */
#include "apiserver/endpoints/call.h"

void endpoint_component_status(void *arg, struct pipeline *p, struct request *req,
                               struct response_sink *sink)
{
	struct call *c = call_new(p, req, sink, req->info);
	_cleanup_buf_ struct buf body = BUF_INIT;
	CoreV1__ComponentStatusList list = CORE_V1__COMPONENT_STATUS_LIST__INIT;
	MetaV1__ListMeta meta = META_V1__LIST_META__INIT;

	strategy_warn(&c->warnings, "v1 ComponentStatus is deprecated in v1.19+");
	if (req->verb == VERB_GET) {
		call_refuse(c, status_not_found(c->a, "", "componentstatus", req->name));
		return;
	}
	list.metadata = &meta;
	object_encode(req->accept.format == MEDIA_PROTOBUF ? OBJECT_PROTOBUF
	              : req->accept.format == MEDIA_YAML   ? OBJECT_YAML
	                                                   : OBJECT_JSON,
	              c->info->list_schema, &list.base, NULL, &body);
	call_flush_warnings(c);
	response_reply(sink, 200, call_content_type(c), buf_view(&body));
}
