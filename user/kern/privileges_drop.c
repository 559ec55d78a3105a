/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/privileges_drop.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/cleanup.h"

/*
 *   CAP_BPF              opening pinned maps
 *   CAP_PERFMON          opening pinned programs
 *   CAP_SYS_PTRACE       /proc/PID/fd and ns of a process with another uid
 *   CAP_DAC_READ_SEARCH  opening /proc/PID/fd of another uid
 *   CAP_SYS_ADMIN        replaces the first two where only it is there; entering a network
 * namespace
 */
static const int kept[] = {CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH,
                           CAP_SYS_ADMIN};

static uint64_t privileges_drop_kept(void)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		mask |= UINT64_C(1) << kept[i];
	return mask;
}

int privileges_drop(struct error *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct words[_LINUX_CAPABILITY_U32S_3];
	const uint64_t mask = privileges_drop_kept();
	int r = 0;

	/* Fails without CAP_SETPCAP; then no_new_privs alone has to keep exec() from more. */
	for (int cap = 0; r == 0; cap++)
		if (cap >= 64 || !(mask & UINT64_C(1) << cap))
			r = prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_capget, &header, words) < 0)
		return error_set(err, -errno, "can't give up rights: %s", strerror(errno));
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		const uint32_t part = (uint32_t)(mask >> 32 * i);

		words[i].permitted &= part;
		words[i].effective &= part;
		words[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, words) < 0)
		return error_set(err, -errno, "can't give up capabilities: %s", strerror(errno));
	return 0;
}
