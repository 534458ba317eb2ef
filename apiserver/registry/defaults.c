/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/defaults.h"

#include "proto/pb_decode.h"
#include "proto/schema.h"

/* A default of one field. Numbers and booleans are told apart by their size: both are optional
 * scalars in proto2, with has_x beside them. */
struct row {
	uint16_t offset, has_offset; /* has_offset 0: a string or a message */
	uint8_t size;
	bool pointer; /* absent, rather than zero, takes the default */
	int64_t num;
	const char *str;                        /* a string */
	const ProtobufCMessageDescriptor *desc; /* an empty message */
};

struct type_rule {
	const ProtobufCMessageDescriptor *desc;
	const struct row *rows;
	size_t n_rows;
	void (*hook)(struct arena *a, void *msg);
};

#define NUM_(type, field, value, ptr)                                                       \
	{                                                                                   \
		.offset = offsetof(type, field), .has_offset = offsetof(type, has_##field), \
		.size = sizeof(((type *)0)->field), .pointer = ptr, .num = value            \
	}
#define VALUE_NUM(type, field, value) NUM_(type, field, value, false)
#define POINTER_NUM(type, field, value) NUM_(type, field, value, true)
#define VALUE_STR(type, field, value)                         \
	{                                                     \
		.offset = offsetof(type, field), .str = value \
	}
#define POINTER_STR(type, field, value)                                        \
	{                                                                      \
		.offset = offsetof(type, field), .pointer = true, .str = value \
	}
#define POINTER_MSG(type, field, d)                                          \
	{                                                                    \
		.offset = offsetof(type, field), .pointer = true, .desc = &d \
	}
#define ROWS(...)                                  \
	.rows = (const struct row[]){__VA_ARGS__}, \
	.n_rows = ARRAY_LEN(((const struct row[]){__VA_ARGS__}))

enum { FILE_MODE = 0644 };

/* "latest" or no tag at all is always pulled; a digest never changes. */
static const char *pull_policy(const char *image)
{
	const char *slash = strrchr(image, '/');
	const char *colon = strchr(slash ? slash : image, ':');

	if (strchr(image, '@'))
		return "IfNotPresent";
	return !colon || !strcmp(colon, ":latest") ? "Always" : "IfNotPresent";
}

static void container(struct arena *a, void *msg)
{
	CoreV1__Container *c = msg;

	if (!*c->image_pull_policy)
		c->image_pull_policy = arena_strdup(a, pull_policy(c->image));
}

static void ephemeral_container(struct arena *a, void *msg)
{
	CoreV1__EphemeralContainerCommon *c = msg;

	if (!*c->image_pull_policy)
		c->image_pull_policy = arena_strdup(a, pull_policy(c->image));
}

/* A volume without a source is an emptyDir. */
static void volume_source(struct arena *a, void *msg)
{
	CoreV1__VolumeSource *v = msg;
	const ProtobufCMessageDescriptor *d = v->base.descriptor;

	for (unsigned i = 0; i < d->n_fields; i++)
		if (*(void **)((char *)msg + d->fields[i].offset))
			goto has_source;
	v->empty_dir =
	    MSG_NEW(a, CoreV1__EmptyDirVolumeSource, core_v1__empty_dir_volume_source__descriptor);
has_source:
	if (v->image && !*v->image->pull_policy)
		v->image->pull_policy = arena_strdup(a, pull_policy(v->image->reference));
}

/* The deprecated serviceAccount mirrors serviceAccountName. */
static void pod_spec(struct arena *a, void *msg)
{
	CoreV1__PodSpec *s = msg;

	if (!*s->service_account_name)
		s->service_account_name = s->service_account;
	s->service_account = s->service_account_name;
}

static void http_get(struct arena *a, void *msg)
{
	CoreV1__HTTPGetAction *h = msg;

	if (!*h->path)
		h->path = arena_strdup(a, "/");
	if (!*h->scheme)
		h->scheme = arena_strdup(a, "HTTP");
}

static void tcp_if_empty(struct arena *a, char **protocol)
{
	if (!*protocol || !**protocol)
		*protocol = arena_strdup(a, "TCP");
}

static void policy_port(struct arena *a, void *msg)
{
	tcp_if_empty(a, &((NetworkingV1__NetworkPolicyPort *)msg)->protocol);
}

/* API groups of RBAC subjects follow from their kinds. */
static void rbac_subject(struct arena *a, void *msg)
{
	RbacV1__Subject *s = msg;

	if (!*s->api_group && list_has(LIST("User", "Group"), s->kind))
		s->api_group = arena_strdup(a, "rbac.authorization.k8s.io");
}

static void csi_driver(struct arena *a, void *msg)
{
	StorageV1__CSIDriverSpec *s = msg;

	if (!s->n_volume_lifecycle_modes) {
		s->volume_lifecycle_modes = arena_array(a, char *, 1);
		s->volume_lifecycle_modes[0] = arena_strdup(a, "Persistent");
		s->n_volume_lifecycle_modes = 1;
	}
}

/* A request asks for one device of its class when it does not say. */
static void device_request(struct arena *a, void *msg)
{
	ResourceV1__ExactDeviceRequest *r = msg;

	if (!*r->allocation_mode)
		r->allocation_mode = arena_strdup(a, "ExactCount");
	if (!strcmp(r->allocation_mode, "ExactCount") && !r->count)
		SET(r, count, 1);
}

static void device_sub_request(struct arena *a, void *msg)
{
	ResourceV1__DeviceSubRequest *r = msg;

	if (!*r->allocation_mode)
		r->allocation_mode = arena_strdup(a, "ExactCount");
	if (!strcmp(r->allocation_mode, "ExactCount") && !r->count)
		SET(r, count, 1);
}

static const struct type_rule rules[] = {
    {&core_v1__container__descriptor,
     ROWS(VALUE_STR(CoreV1__Container, termination_message_path, "/dev/termination-log"),
          VALUE_STR(CoreV1__Container, termination_message_policy, "File")),
     container},
    {&core_v1__ephemeral_container_common__descriptor,
     ROWS(VALUE_STR(CoreV1__EphemeralContainerCommon, termination_message_path,
                    "/dev/termination-log"),
          VALUE_STR(CoreV1__EphemeralContainerCommon, termination_message_policy, "File")),
     ephemeral_container},
    {&core_v1__container_port__descriptor, ROWS(VALUE_STR(CoreV1__ContainerPort, protocol, "TCP"))},
    {&core_v1__probe__descriptor, ROWS(VALUE_NUM(CoreV1__Probe, timeout_seconds, 1),
                                       VALUE_NUM(CoreV1__Probe, period_seconds, 10),
                                       VALUE_NUM(CoreV1__Probe, success_threshold, 1),
                                       VALUE_NUM(CoreV1__Probe, failure_threshold, 3))},
    {&core_v1__httpget_action__descriptor, .hook = http_get},
    {&core_v1__grpcaction__descriptor, ROWS(POINTER_STR(CoreV1__GRPCAction, service, ""))},
    {&core_v1__volume_source__descriptor, .hook = volume_source},
    {&core_v1__secret_volume_source__descriptor,
     ROWS(POINTER_NUM(CoreV1__SecretVolumeSource, default_mode, FILE_MODE))},
    {&core_v1__config_map_volume_source__descriptor,
     ROWS(POINTER_NUM(CoreV1__ConfigMapVolumeSource, default_mode, FILE_MODE))},
    {&core_v1__downward_apivolume_source__descriptor,
     ROWS(POINTER_NUM(CoreV1__DownwardAPIVolumeSource, default_mode, FILE_MODE))},
    {&core_v1__projected_volume_source__descriptor,
     ROWS(POINTER_NUM(CoreV1__ProjectedVolumeSource, default_mode, FILE_MODE))},
    {&core_v1__service_account_token_projection__descriptor,
     ROWS(POINTER_NUM(CoreV1__ServiceAccountTokenProjection, expiration_seconds, 3600))},
    {&core_v1__object_field_selector__descriptor,
     ROWS(VALUE_STR(CoreV1__ObjectFieldSelector, api_version, "v1"))},
    {&core_v1__host_path_volume_source__descriptor,
     ROWS(POINTER_STR(CoreV1__HostPathVolumeSource, type, ""))},
    {&core_v1__iscsivolume_source__descriptor,
     ROWS(VALUE_STR(CoreV1__ISCSIVolumeSource, iscsi_interface, "default"))},
    {&core_v1__iscsipersistent_volume_source__descriptor,
     ROWS(VALUE_STR(CoreV1__ISCSIPersistentVolumeSource, iscsi_interface, "default"))},
    {&core_v1__rbdvolume_source__descriptor,
     ROWS(VALUE_STR(CoreV1__RBDVolumeSource, pool, "rbd"),
          VALUE_STR(CoreV1__RBDVolumeSource, user, "admin"),
          VALUE_STR(CoreV1__RBDVolumeSource, keyring, "/etc/ceph/keyring"))},
    {&core_v1__rbdpersistent_volume_source__descriptor,
     ROWS(VALUE_STR(CoreV1__RBDPersistentVolumeSource, pool, "rbd"),
          VALUE_STR(CoreV1__RBDPersistentVolumeSource, user, "admin"),
          VALUE_STR(CoreV1__RBDPersistentVolumeSource, keyring, "/etc/ceph/keyring"))},
    {&core_v1__azure_disk_volume_source__descriptor,
     ROWS(POINTER_STR(CoreV1__AzureDiskVolumeSource, caching_mode, "ReadWrite"),
          POINTER_STR(CoreV1__AzureDiskVolumeSource, fs_type, "ext4"),
          POINTER_NUM(CoreV1__AzureDiskVolumeSource, read_only, 0),
          POINTER_STR(CoreV1__AzureDiskVolumeSource, kind, "Shared"))},
    {&core_v1__scale_iovolume_source__descriptor,
     ROWS(VALUE_STR(CoreV1__ScaleIOVolumeSource, storage_mode, "ThinProvisioned"),
          VALUE_STR(CoreV1__ScaleIOVolumeSource, fs_type, "xfs"))},
    {&core_v1__scale_iopersistent_volume_source__descriptor,
     ROWS(VALUE_STR(CoreV1__ScaleIOPersistentVolumeSource, storage_mode, "ThinProvisioned"),
          VALUE_STR(CoreV1__ScaleIOPersistentVolumeSource, fs_type, "xfs"))},
    {&core_v1__pod_spec__descriptor,
     ROWS(
         VALUE_STR(CoreV1__PodSpec, dns_policy, "ClusterFirst"),
         VALUE_STR(CoreV1__PodSpec, restart_policy, "Always"),
         VALUE_STR(CoreV1__PodSpec, scheduler_name, "default-scheduler"),
         POINTER_NUM(CoreV1__PodSpec, termination_grace_period_seconds, 30),
         POINTER_MSG(CoreV1__PodSpec, security_context, core_v1__pod_security_context__descriptor)),
     pod_spec},
    {&core_v1__persistent_volume_claim_spec__descriptor,
     ROWS(POINTER_STR(CoreV1__PersistentVolumeClaimSpec, volume_mode, "Filesystem"))},
    {&core_v1__persistent_volume_spec__descriptor,
     ROWS(VALUE_STR(CoreV1__PersistentVolumeSpec, persistent_volume_reclaim_policy, "Retain"),
          POINTER_STR(CoreV1__PersistentVolumeSpec, volume_mode, "Filesystem"))},
    {&core_v1__persistent_volume_status__descriptor,
     ROWS(VALUE_STR(CoreV1__PersistentVolumeStatus, phase, "Pending"))},
    {&core_v1__persistent_volume_claim_status__descriptor,
     ROWS(VALUE_STR(CoreV1__PersistentVolumeClaimStatus, phase, "Pending"))},
    {&core_v1__pod_status__descriptor, ROWS(VALUE_STR(CoreV1__PodStatus, phase, "Pending"))},
    {&core_v1__namespace_status__descriptor,
     ROWS(VALUE_STR(CoreV1__NamespaceStatus, phase, "Active"))},
    {&core_v1__endpoint_port__descriptor, ROWS(VALUE_STR(CoreV1__EndpointPort, protocol, "TCP"))},
    {&core_v1__secret__descriptor, ROWS(VALUE_STR(CoreV1__Secret, type, "Opaque"))},
    {&discovery_v1__endpoint_port__descriptor,
     ROWS(POINTER_STR(DiscoveryV1__EndpointPort, name, ""),
          POINTER_STR(DiscoveryV1__EndpointPort, protocol, "TCP"))},
    {&networking_v1__network_policy_port__descriptor, .hook = policy_port},
    {&networking_v1__ingress_class_parameters_reference__descriptor,
     ROWS(POINTER_STR(NetworkingV1__IngressClassParametersReference, scope, "Cluster"))},
    {&rbac_v1__role_ref__descriptor,
     ROWS(VALUE_STR(RbacV1__RoleRef, api_group, "rbac.authorization.k8s.io"))},
    {&rbac_v1__subject__descriptor, .hook = rbac_subject},
    {&storage_v1__storage_class__descriptor,
     ROWS(POINTER_STR(StorageV1__StorageClass, reclaim_policy, "Delete"),
          POINTER_STR(StorageV1__StorageClass, volume_binding_mode, "Immediate"))},
    {&storage_v1__csidriver_spec__descriptor,
     ROWS(POINTER_NUM(StorageV1__CSIDriverSpec, attach_required, 1),
          POINTER_NUM(StorageV1__CSIDriverSpec, pod_info_on_mount, 0),
          POINTER_NUM(StorageV1__CSIDriverSpec, storage_capacity, 0),
          POINTER_STR(StorageV1__CSIDriverSpec, fs_group_policy, "ReadWriteOnceWithFSType"),
          POINTER_NUM(StorageV1__CSIDriverSpec, requires_republish, 0),
          POINTER_NUM(StorageV1__CSIDriverSpec, se_linux_mount, 0)),
     csi_driver},
    {&scheduling_v1__priority_class__descriptor,
     ROWS(POINTER_STR(SchedulingV1__PriorityClass, preemption_policy, "PreemptLowerPriority"))},
    {&admissionregistration_v1__service_reference__descriptor,
     ROWS(POINTER_NUM(AdmissionregistrationV1__ServiceReference, port, 443))},
    {&admissionregistration_v1__validating_webhook__descriptor,
     ROWS(POINTER_STR(AdmissionregistrationV1__ValidatingWebhook, failure_policy, "Fail"),
          POINTER_STR(AdmissionregistrationV1__ValidatingWebhook, match_policy, "Equivalent"),
          POINTER_NUM(AdmissionregistrationV1__ValidatingWebhook, timeout_seconds, 10),
          POINTER_MSG(AdmissionregistrationV1__ValidatingWebhook, namespace_selector,
                      meta_v1__label_selector__descriptor),
          POINTER_MSG(AdmissionregistrationV1__ValidatingWebhook, object_selector,
                      meta_v1__label_selector__descriptor))},
    {&admissionregistration_v1__mutating_webhook__descriptor,
     ROWS(POINTER_STR(AdmissionregistrationV1__MutatingWebhook, failure_policy, "Fail"),
          POINTER_STR(AdmissionregistrationV1__MutatingWebhook, match_policy, "Equivalent"),
          POINTER_STR(AdmissionregistrationV1__MutatingWebhook, reinvocation_policy, "Never"),
          POINTER_NUM(AdmissionregistrationV1__MutatingWebhook, timeout_seconds, 10),
          POINTER_MSG(AdmissionregistrationV1__MutatingWebhook, namespace_selector,
                      meta_v1__label_selector__descriptor),
          POINTER_MSG(AdmissionregistrationV1__MutatingWebhook, object_selector,
                      meta_v1__label_selector__descriptor))},
    {&admissionregistration_v1__rule__descriptor,
     ROWS(POINTER_STR(AdmissionregistrationV1__Rule, scope, "*"))},
    {&admissionregistration_v1__match_resources__descriptor,
     ROWS(POINTER_STR(AdmissionregistrationV1__MatchResources, match_policy, "Equivalent"),
          POINTER_MSG(AdmissionregistrationV1__MatchResources, namespace_selector,
                      meta_v1__label_selector__descriptor),
          POINTER_MSG(AdmissionregistrationV1__MatchResources, object_selector,
                      meta_v1__label_selector__descriptor))},
    {&admissionregistration_v1__validating_admission_policy_spec__descriptor,
     ROWS(POINTER_STR(AdmissionregistrationV1__ValidatingAdmissionPolicySpec, failure_policy,
                      "Fail"))},
    {&admissionregistration_v1__mutating_admission_policy_spec__descriptor,
     ROWS(POINTER_STR(AdmissionregistrationV1__MutatingAdmissionPolicySpec, failure_policy,
                      "Fail"))},
    {&admissionregistration_v1__param_ref__descriptor,
     ROWS(POINTER_STR(AdmissionregistrationV1__ParamRef, parameter_not_found_action, "Deny"))},
    {&apiregistration_v1__service_reference__descriptor,
     ROWS(POINTER_NUM(ApiregistrationV1__ServiceReference, port, 443))},
    {&resource_v1__exact_device_request__descriptor, .hook = device_request},
    {&resource_v1__device_sub_request__descriptor, .hook = device_sub_request},
    {&resource_v1__device_toleration__descriptor,
     ROWS(VALUE_STR(ResourceV1__DeviceToleration, operator_, "Equal"))},
};

void *msg_new_(struct arena *a, const ProtobufCMessageDescriptor *desc)
{
	return pb_new(schema_of(desc), a);
}

static void apply_row(struct arena *a, const struct row *r, char *msg)
{
	if (r->has_offset) {
		protobuf_c_boolean *has = (protobuf_c_boolean *)(msg + r->has_offset);
		bool zero = r->size == sizeof(int64_t) ? !*(int64_t *)(msg + r->offset)
		                                       : !*(int32_t *)(msg + r->offset);
		if (r->pointer ? *has : *has && !zero)
			return;
		*has = 1;
		if (r->size == sizeof(int64_t))
			*(int64_t *)(msg + r->offset) = r->num;
		else
			*(int32_t *)(msg + r->offset) = (int32_t)r->num;
		return;
	}
	void **at = (void **)(msg + r->offset);
	if (*at && (r->pointer || *(char *)*at))
		return;
	*at = r->desc ? msg_new_(a, r->desc) : arena_strdup(a, r->str);
}

static void apply(struct arena *a, ProtobufCMessage *msg)
{
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		if (rules[i].desc != msg->descriptor)
			continue;
		for (size_t j = 0; j < rules[i].n_rows; j++)
			apply_row(a, &rules[i].rows[j], (char *)msg);
		if (rules[i].hook)
			rules[i].hook(a, msg);
		return;
	}
}

/* Quantities have one spelling: "1024Mi" is written "1Gi". */
static void canonical_quantity(struct arena *a, Quantity__Quantity *q)
{
	char text[QUANTITY_BYTES];
	struct quantity v;

	if (!*q->string || quantity_parse(slice_str(q->string), &v, NULL))
		return;
	quantity_format_text(&v, text);
	if (strcmp(text, q->string))
		q->string = arena_strdup(a, text);
}

void defaults_walk(struct arena *a, ProtobufCMessage *msg)
{
	const ProtobufCMessageDescriptor *d = msg->descriptor;

	if (d == &quantity__quantity__descriptor)
		canonical_quantity(a, (Quantity__Quantity *)msg);

	/* Metadata, selectors and the like have no defaults. */
	if (has_prefix(d->package_name, "k8s.io.apimachinery."))
		return;
	apply(a, msg);
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		char *at = (char *)msg + f->offset;
		if (f->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (f->label != PROTOBUF_C_LABEL_REPEATED) {
			if (*(ProtobufCMessage **)at)
				defaults_walk(a, *(ProtobufCMessage **)at);
			continue;
		}
		size_t n = *(size_t *)((char *)msg + f->quantifier_offset);
		for (size_t j = 0; j < n; j++)
			defaults_walk(a, (*(ProtobufCMessage ***)at)[j]);
	}
}
