/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernel bugs that users of reuseportd should know about, judged by the kernel's release: unlike a
 * feature, a bug can't be probed.
 */
#pragma once

#include <stdbool.h>

enum kernel_bug {
	KERNEL_BUG_ABSENT, /* older than the code that has the bug */
	KERNEL_BUG_FIXED,
	KERNEL_BUG_PRESENT,
	KERNEL_BUG_UNKNOWN, /* the release name doesn't say */
	KERNEL_BUG_MAX,
};

/*
 * CVE-2026-46015: a connection that migrates into a listener's accept queue does not wake the
 * process that waits for that listener, until another connection comes; and a use after free.
 *
 * @release and @version are those of uname(2). The patch level of kernel.org decides. If a
 * distribution hides it ("5.15.0-91-generic") the answer is UNKNOWN, unless @version has it, as on
 * Debian. A backport of the fix by a distribution is not recognised.
 */
enum kernel_bug kernel_bugs_check_migration(const char *release, const char *version);

/* Whether one sock_diag(7) request waits until another one has been answered: sock_diag_mutex and
 * inet_diag_table_mutex, until Linux 6.9. */
bool kernel_bugs_has_serial_dumps(const char *release);
