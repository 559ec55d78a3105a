/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "config/file_user.h"
#include "config/run_option.h"

static const struct file_owner nobody = {
        .verdict = FILE_TRUST_USER, .user = "nobody", .uid = 65534, .where = "/srv/app"};
static const struct file_owner unknown = {.verdict = FILE_TRUST_USER,
                                          .user = "12345",
                                          .group = "12346",
                                          .uid = 12345,
                                          .where = "/srv/app"};

static char reported[1024];

static void report(void *data, const char *option, const char *text)
{
	snprintf(reported, sizeof(reported), "%s: %s", option, text);
}

static void services(void **state)
{
	static const struct {
		struct load_file file;
		const char *options[2][2];
		const char *user, *group; /* of the workers */
		const char *said;
	} cases[] = {
	        {{}, {{0}}},
	        {{}, {{"user", "root"}, {"group", "root"}}, "root", "root"},
	        {{}, {{"listen", "80"}}},
	        {{.user = "daemon"}, {{"user", "root"}, {"group", "root"}}, "daemon"},
	        {{.user = "daemon", .group = "tty"}, {{"user", "root"}}, "daemon", "tty"},
	        {{.owner = &nobody}, {{0}}, "nobody"},
	        {{.owner = &nobody}, {{"user", "65534"}}, "65534"},
	        {{.owner = &nobody}, {{"group", "nogroup"}}, "nobody", "nogroup"},
	        {{.owner = &nobody}, {{"user", "root"}}, "root", NULL, "user: the file belongs to"},
	        {{.owner = &nobody}, {{"user", "0"}}, "0", NULL, "the owner of /srv/app, and"},
	        {{.owner = &nobody}, {{"group", "root"}}, "nobody", "root", "group: the file"},
	        {{.owner = &nobody}, {{"listen", "1024"}}, "nobody"},
	        {{.owner = &nobody}, {{"listen", "1023"}}, "nobody", NULL, "listen: the file"},
	        {{.owner = &nobody, .user = "root"}, {{0}}, "root"},
	        {{.owner = &nobody, .user = "root"}, {{"listen", "80"}}, "root", NULL, "listen: "},
	        {{.owner = &unknown}, {{0}}, "12345", "12346"},
	        {{.owner = &unknown}, {{"group", "12346"}}, "12345", "12346"},
	        {{.owner = &unknown}, {{"group", "root"}}, "12345", "root", "group: "},
	        {{.owner = &unknown}, {{"user", "nobody"}}, "nobody", NULL, "user: "},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct run_config c;
		struct error err;

		run_config_init(&c);
		for (int o = 0; o < 2 && cases[i].options[o][0]; o++)
			assert_int_equal(run_option_set(&c, cases[i].options[o][0],
			                                cases[i].options[o][1], 1, &err),
			                 0);
		reported[0] = '\0';
		file_user_set(&cases[i].file, &c, report, NULL);
		if (cases[i].said ? !strstr(reported, cases[i].said) : reported[0])
			fail_msg("%zu: %s", i, reported);
		if (strcmp(c.user ? c.user : "", cases[i].user ? cases[i].user : "") != 0 ||
		    strcmp(c.group ? c.group : "", cases[i].group ? cases[i].group : "") != 0)
			fail_msg("%zu: user %s, group %s", i, c.user, c.group);
		assert_int_equal(c.limited, cases[i].file.owner != NULL);
		run_config_free(&c);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(services),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
