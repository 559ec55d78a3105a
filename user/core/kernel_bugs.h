/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bugs of the kernel that reuseportd's users should know of, judged by the kernel's own name: a
 * bug, unlike a feature, can't be probed for.
 */
#pragma once

enum kernel_bug {
	KERNEL_BUG_ABSENT, /* older than the code that has the bug */
	KERNEL_BUG_FIXED,
	KERNEL_BUG_PRESENT,
	KERNEL_BUG_UNKNOWN, /* the name doesn't tell */
	KERNEL_BUG_MAX,
};

/*
 * CVE-2026-46015: a connection that migrates into a listener's accept queue does not wake whoever
 * waits for that listener, until another connection comes; and a use after free.
 *
 * @release and @version are those of uname(2). What is judged is kernel.org's patch level: a
 * distribution that hides it ("5.15.0-91-generic") gives UNKNOWN, unless it is in @version, where
 * Debian has it. A distribution's own backport of the fix can't be seen.
 */
enum kernel_bug kernel_bugs_check_migration(const char *release, const char *version);
