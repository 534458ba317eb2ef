/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "kubelet/pleg/exits.h"

long exits_first_process(const char *procs, long (*ns_pid)(long pid))
{
	long lowest = 0;
	for (const char *p = procs; p && *p;) {
		char *end;
		long pid = strtol(p, &end, 10);
		if (end == p)
			break;
		p = *end == '\n' ? end + 1 : end;
		if (pid <= 0)
			continue;
		if (ns_pid(pid) == 1)
			return pid;
		lowest = !lowest || pid < lowest ? pid : lowest;
	}
	return lowest;
}
