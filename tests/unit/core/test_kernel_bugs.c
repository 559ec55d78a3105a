/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/kernel_bugs.h"

#define PLAIN "#1 SMP PREEMPT_DYNAMIC Thu Jan  1 00:00:00 UTC 2026"

static const struct {
	const char *name;
	const char *release;
	const char *version;
	enum kernel_bug want;
} cases[] = {
        {"no migration yet: 4.19", "4.19.325", PLAIN, KERNEL_BUG_ABSENT},
        {"no migration yet: 5.13, the last one", "5.13.19", PLAIN, KERNEL_BUG_ABSENT},
        {"no migration yet, patch level hidden", "5.10.0-28-amd64", PLAIN, KERNEL_BUG_ABSENT},

        {"5.14, the first with migration", "5.14.0", PLAIN, KERNEL_BUG_PRESENT},
        {"5.14, its last", "5.14.21", PLAIN, KERNEL_BUG_PRESENT},
        {"5.15 before", "5.15.208", PLAIN, KERNEL_BUG_PRESENT},
        {"5.15 from", "5.15.209", PLAIN, KERNEL_BUG_FIXED},
        {"5.16 ended without it", "5.16.20", PLAIN, KERNEL_BUG_PRESENT},
        {"6.0 ended without it", "6.0.19", PLAIN, KERNEL_BUG_PRESENT},
        {"6.1 before", "6.1.174", PLAIN, KERNEL_BUG_PRESENT},
        {"6.1 from", "6.1.175", PLAIN, KERNEL_BUG_FIXED},
        {"6.5 ended without it", "6.5.13", PLAIN, KERNEL_BUG_PRESENT},
        {"6.6 before", "6.6.139", PLAIN, KERNEL_BUG_PRESENT},
        {"6.6 from", "6.6.140", PLAIN, KERNEL_BUG_FIXED},
        {"6.12 before", "6.12.85", PLAIN, KERNEL_BUG_PRESENT},
        {"6.12 from", "6.12.86", PLAIN, KERNEL_BUG_FIXED},
        {"6.18 before", "6.18.26", PLAIN, KERNEL_BUG_PRESENT},
        {"6.18 from", "6.18.27", PLAIN, KERNEL_BUG_FIXED},
        {"6.19 ended without it", "6.19.14", PLAIN, KERNEL_BUG_PRESENT},
        {"7.0 before", "7.0.3", PLAIN, KERNEL_BUG_PRESENT},
        {"7.0 from", "7.0.4", PLAIN, KERNEL_BUG_FIXED},
        {"7.1", "7.1.0", PLAIN, KERNEL_BUG_FIXED},
        {"7.1, two numbers only", "7.1", PLAIN, KERNEL_BUG_FIXED},
        {"7.2, patch level hidden", "7.2.0-3-generic", PLAIN, KERNEL_BUG_FIXED},
        {"next major", "8.0.1", PLAIN, KERNEL_BUG_FIXED},

        {"a builder's suffix", "6.18.44-fc-v657", PLAIN, KERNEL_BUG_FIXED},
        {"Amazon Linux shows the patch level", "6.1.132-147.221.amzn2023.x86_64", PLAIN,
         KERNEL_BUG_PRESENT},
        {"no patch level, but nothing hidden", "7.0.0-rc3", PLAIN, KERNEL_BUG_PRESENT},

        {"Debian before", "6.1.0-35-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.137-1 (2025-05-07)",
         KERNEL_BUG_PRESENT},
        {"Debian, the last before", "6.1.0-54-cloud-amd64",
         "#1 SMP PREEMPT_DYNAMIC Debian 6.1.174-1 (2026-05-20)", KERNEL_BUG_PRESENT},
        {"Debian from", "6.1.0-55-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.175-1 (2026-06-01)",
         KERNEL_BUG_FIXED},
        {"Debian's newer names carry the patch level", "6.12.86+deb13-amd64",
         "#1 SMP PREEMPT_DYNAMIC Debian 6.12.86-1 (2026-05-20)", KERNEL_BUG_FIXED},
        {"Debian's backports", "6.12.0-0.bpo.1-amd64",
         "#1 SMP PREEMPT_DYNAMIC Debian 6.12.12-1~bpo12+1 (2025-02-23)", KERNEL_BUG_PRESENT},
        {"Debian, version cut off", "6.1.0-35-amd64", "#1 SMP PREEMPT_DYNAMIC Debian ",
         KERNEL_BUG_UNKNOWN},

        {"Ubuntu hides it", "5.15.0-91-generic", "#101-Ubuntu SMP", KERNEL_BUG_UNKNOWN},
        {"Red Hat hides it", "5.14.0-427.13.1.el9_4.x86_64", "#1 SMP PREEMPT_DYNAMIC",
         KERNEL_BUG_UNKNOWN},
        {"empty", "", "", KERNEL_BUG_UNKNOWN},
        {"no number", "linux", PLAIN, KERNEL_BUG_UNKNOWN},
        {"one number", "6", PLAIN, KERNEL_BUG_UNKNOWN},
        {"a sign", "-6.1.1", PLAIN, KERNEL_BUG_UNKNOWN},
};

static void releases_with_the_migration_bug(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum kernel_bug got =
		        kernel_bugs_check_migration(cases[i].release, cases[i].version);

		if (got != cases[i].want)
			fail_msg("%s: got %d, want %d", cases[i].name, got, cases[i].want);
	}
}

static void releases_with_serial_dumps(void **state)
{
	assert_true(kernel_bugs_has_serial_dumps("5.14.0"));
	assert_true(kernel_bugs_has_serial_dumps("6.1.0-35-amd64"));
	assert_true(kernel_bugs_has_serial_dumps("6.8.12"));
	assert_false(kernel_bugs_has_serial_dumps("6.9.0"));
	assert_false(kernel_bugs_has_serial_dumps("7.0.1"));
	assert_true(kernel_bugs_has_serial_dumps("linux"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(releases_with_the_migration_bug),
	        cmocka_unit_test(releases_with_serial_dumps),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
