/* SPDX-License-Identifier: BSD-2-Clause */
#include <sys/stat.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/file_trust.h"

#define ALICE 1000
#define BOB   1001
#define SELF  900
#define PARTS 4

/* Part of a path; the mode is 0 after the last one. */
struct part {
	uid_t uid;
	mode_t mode;
};

#define FOLDER S_IFDIR | 0755
#define FILE_  S_IFREG | 0644

static void verdicts(void **state)
{
	static const struct {
		const char *what;
		struct part parts[PARTS];
		enum file_trust_verdict verdict;
		uid_t uid;
	} cases[] = {
	        {"of root", {{0, FOLDER}, {0, FILE_}}, FILE_TRUST_OURS},
	        {"of our own user", {{0, FOLDER}, {SELF, FOLDER}, {SELF, FILE_}}, FILE_TRUST_OURS},
	        {"of a user", {{0, FOLDER}, {ALICE, FILE_}}, FILE_TRUST_USER, ALICE},
	        {"in a user's folder", {{ALICE, FOLDER}, {0, FILE_}}, FILE_TRUST_USER, ALICE},
	        {"above it", {{ALICE, FOLDER}, {0, FOLDER}, {0, FILE_}}, FILE_TRUST_USER, ALICE},
	        {"both", {{ALICE, FOLDER}, {ALICE, FILE_}}, FILE_TRUST_USER, ALICE},
	        {"two users", {{ALICE, FOLDER}, {BOB, FILE_}}, FILE_TRUST_SEVERAL, ALICE},
	        {"by a link",
	         {{0, FOLDER}, {ALICE, S_IFLNK | 0777}, {0, FILE_}},
	         FILE_TRUST_USER,
	         ALICE},
	        {"root's link", {{0, FOLDER}, {0, S_IFLNK | 0777}, {0, FILE_}}, FILE_TRUST_OURS},
	        {"of a group", {{0, FOLDER}, {0, S_IFREG | 0664}}, FILE_TRUST_MANY},
	        {"of all", {{0, FOLDER}, {0, S_IFREG | 0646}}, FILE_TRUST_MANY},
	        {"group's folder", {{0, S_IFDIR | 0775}, {0, FILE_}}, FILE_TRUST_MANY},
	        {"in /tmp", {{0, S_IFDIR | S_ISVTX | 0777}, {0, FILE_}}, FILE_TRUST_OURS},
	        {"sticky file", {{0, FOLDER}, {0, S_IFREG | S_ISVTX | 0666}}, FILE_TRUST_MANY},
	        {"user's, many", {{0, S_IFDIR | 0777}, {ALICE, FILE_}}, FILE_TRUST_USER, ALICE},
	        {"user's group", {{0, FOLDER}, {ALICE, S_IFREG | 0664}}, FILE_TRUST_USER, ALICE},
	        {"our folder, group", {{SELF, S_IFDIR | 0775}, {SELF, FILE_}}, FILE_TRUST_MANY},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct file_trust trust = {.self = SELF};
		enum file_trust_verdict is = FILE_TRUST_OURS;

		for (const struct part *p = cases[i].parts; p->mode; p++) {
			const bool changed = file_trust_add(&trust, p->uid, p->uid + 1, p->mode);

			assert_int_equal(changed, file_trust_verdict(&trust) != is);
			is = file_trust_verdict(&trust);
		}
		if (is != cases[i].verdict || trust.uid != cases[i].uid)
			fail_msg("%s: %d of %u", cases[i].what, is, trust.uid);
		if (trust.uid)
			assert_int_equal(trust.gid, trust.uid + 1);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(verdicts),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
