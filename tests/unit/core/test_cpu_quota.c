/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/cpu_quota.h"

static void quotas(void **context)
{
	assert_int_equal(cpu_quota_read_max("200000 100000\n"), 2);
	assert_int_equal(cpu_quota_read_max("150000 100000\n"), 2);
	assert_int_equal(cpu_quota_read_max("1000 100000\n"), 1);
	assert_int_equal(cpu_quota_read_max("max 100000\n"), CPU_QUOTA_NONE);
	assert_int_equal(cpu_quota_read_max(""), CPU_QUOTA_NONE);
	assert_int_equal(cpu_quota_read_max("200000"), CPU_QUOTA_NONE);
	assert_int_equal(cpu_quota_read_max("9223372036854775807 1"), CPU_QUOTA_NONE);
	assert_int_equal(cpu_quota_read_cfs("250000\n", "100000\n"), 3);
	assert_int_equal(cpu_quota_read_cfs("-1\n", "100000\n"), CPU_QUOTA_NONE);
	assert_int_equal(cpu_quota_read_cfs("100000\n", "0\n"), CPU_QUOTA_NONE);
}

static void cgroups(void **context)
{
	static const char *const text = "12:cpuset:/set\n4:cpu,cpuacct:/docker/a:b\n0::/unit\n";
	char path[64];

	assert_true(cpu_quota_find_cgroup(text, "cpu", path, sizeof(path)));
	assert_string_equal(path, "/docker/a:b");
	assert_true(cpu_quota_find_cgroup(text, "cpuset", path, sizeof(path)));
	assert_string_equal(path, "/set");
	assert_true(cpu_quota_find_cgroup(text, NULL, path, sizeof(path)));
	assert_string_equal(path, "/unit");
	assert_false(cpu_quota_find_cgroup(text, "memory", path, sizeof(path)));
	assert_false(cpu_quota_find_cgroup(text, "cpu", path, 11));
	assert_true(cpu_quota_find_cgroup(text, "cpu", path, 12));
	assert_false(cpu_quota_find_cgroup("", NULL, path, sizeof(path)));
	assert_false(cpu_quota_find_cgroup("x\n:\n", "cpu", path, sizeof(path)));
	assert_true(cpu_quota_has_word("rw,cpu,cpuacct\n", "cpu"));
	assert_true(cpu_quota_has_word("rw,cpuacct,cpu\n", "cpu"));
	assert_false(cpu_quota_has_word("rw,cpuset,cpuacct\n", "cpu"));
}

/* As a container sees them, with and without a cgroup namespace. */
static void places(void **context)
{
	assert_string_equal(cpu_quota_below("/a/b", "/"), "/a/b");
	assert_string_equal(cpu_quota_below("/", "/"), "");
	assert_string_equal(cpu_quota_below("/docker/x", "/docker/x"), "");
	assert_string_equal(cpu_quota_below("/docker/x/y", "/docker/x"), "/y");
	assert_string_equal(cpu_quota_below("/docker/xy", "/docker/x"), "");
	assert_string_equal(cpu_quota_below("/other", "/docker/x"), "");
	assert_string_equal(cpu_quota_below("/../other", "/"), "");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(quotas),
	        cmocka_unit_test(cgroups),
	        cmocka_unit_test(places),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
