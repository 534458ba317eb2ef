/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/node/machine.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/codec/quantity.h"

/* The first line of a file; "" when it cannot be read. */
static const char *first_line(const char *path, struct arena *a)
{
	char line[512] = "";
	FILE *f = fopen(path, "re");
	if (f && !fgets(line, sizeof(line), f))
		*line = 0;
	if (f)
		fclose(f);
	line[strcspn(line, "\r\n")] = 0;
	return arena_strdup(a, line);
}

/* A line "Name:   123 kB" of /proc/meminfo, in bytes. */
static int64_t meminfo(const char *name)
{
	char line[256];
	long long kib = 0;
	size_t n = strlen(name);
	FILE *f = fopen("/proc/meminfo", "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, n) && line[n] == ':')
			kib = strtoll(line + n + 1, NULL, 10);
	if (f)
		fclose(f);
	return (int64_t)kib * 1024;
}

static const char *os_image(struct arena *a)
{
	char line[512];
	const char *name = "Linux";
	FILE *f = fopen("/etc/os-release", "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "PRETTY_NAME=", 12))
			continue;
		line[strcspn(line, "\r\n")] = 0;
		char *v = line + 12;
		size_t n = strlen(v);
		if (n > 1 && *v == '"') {
			v[n - 1] = 0;
			v++;
		}
		name = arena_strdup(a, v);
	}
	if (f)
		fclose(f);
	return name;
}

static int64_t number_in(const char *path, const char *format)
{
	long long v = 0;
	FILE *f = fopen(path, "re");
	if (f && fscanf(f, format, &v) != 1)
		v = 0;
	if (f)
		fclose(f);
	return v;
}

/* "hugepages-2048kB" -> "hugepages-2Mi" */
static void read_huge(struct machine *m, struct arena *a)
{
	DIR *d = opendir("/sys/kernel/mm/hugepages");
	for (struct dirent *e; d && m->n_huge < MACHINE_HUGE_MAX && (e = readdir(d));) {
		unsigned long kib;
		char text[QUANTITY_BYTES];
		if (sscanf(e->d_name, "hugepages-%lukB", &kib) != 1)
			continue;
		struct quantity q = quantity_from_int((int64_t)kib * 1024, QUANTITY_BINARY_SI);
		quantity_format_text(&q, text);
		const char *file =
		    arena_printf(a, "/sys/kernel/mm/hugepages/%s/nr_hugepages", e->d_name);
		m->huge[m->n_huge].resource = arena_printf(a, "hugepages-%s", text);
		m->huge[m->n_huge++].bytes = number_in(file, "%lld") * (int64_t)kib * 1024;
	}
	if (d)
		closedir(d);
}

static const char *architecture_of(const char *machine, struct arena *a)
{
	if (!strcmp(machine, "x86_64"))
		return "amd64";
	if (!strcmp(machine, "aarch64"))
		return "arm64";
	return arena_strdup(a, machine);
}

void machine_read(struct machine *m, const char *root_dir, struct arena *a)
{
	struct utsname u;
	struct statvfs fs;
	uname(&u);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	*m = (struct machine){
	    .cpus = cpus > 0 ? cpus : 1,
	    .memory_bytes = meminfo("MemTotal"),
	    .disk_bytes = statvfs(root_dir, &fs) ? 0 : (int64_t)fs.f_blocks * (int64_t)fs.f_frsize,
	    .machine_id = first_line("/etc/machine-id", a),
	    .system_uuid = first_line("/sys/class/dmi/id/product_uuid", a),
	    .boot_id = first_line("/proc/sys/kernel/random/boot_id", a),
	    .kernel_version = arena_strdup(a, u.release),
	    .os_image = os_image(a),
	    .architecture = architecture_of(u.machine, a),
	    .hostname = arena_strdup(a, u.nodename),
	};
	if (!*m->system_uuid)
		m->system_uuid = m->machine_id;
	read_huge(m, a);
}

bool machine_has_swap(void)
{
	return meminfo("SwapTotal") > 0;
}

int64_t machine_pids_max(void)
{
	int64_t pids = number_in("/proc/sys/kernel/pid_max", "%lld");
	int64_t threads = number_in("/proc/sys/kernel/threads-max", "%lld");
	return threads > 0 && threads < pids ? threads : pids;
}

int64_t machine_pids(void)
{
	/* "0.20 0.18 0.12 1/80 11206": running/all */
	return number_in("/proc/loadavg", "%*s %*s %*s %*d/%lld");
}
