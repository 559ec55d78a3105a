/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/kernel_bugs.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

struct release {
	unsigned int major;
	unsigned int minor;
	unsigned int patch;
};

/* The first release with the fix, for each series. A series that is not listed ended without it. */
static const struct release fixed_in[] = {
        {5, 15, 209}, {6, 1, 175}, {6, 6, 140}, {6, 12, 86}, {6, 18, 27}, {7, 0, 4},
};

static bool kernel_bugs_parse_release(const char *text, struct release *ret)
{
	struct release release = {};

	if (!isdigit((unsigned char)text[0]) ||
	    sscanf(text, "%4u.%4u.%4u", &release.major, &release.minor, &release.patch) < 2)
		return false;
	*ret = release;
	return true;
}

static bool kernel_bugs_is_before_series(const struct release *release, unsigned int major,
                                         unsigned int minor)
{
	return release->major < major || (release->major == major && release->minor < minor);
}

/* As in "6.1.0-35-amd64": the patch level is always 0, and the next number is the distribution's.
 */
static bool kernel_bugs_hides_patch_level(const char *text, const struct release *release)
{
	const char *dash = strchr(text, '-');

	return release->patch == 0 && dash && isdigit((unsigned char)dash[1]);
}

enum kernel_bug kernel_bugs_check_migration(const char *release, const char *version)
{
	const char *debian = strstr(version, " Debian ");
	struct release kernel;

	if (!kernel_bugs_parse_release(release, &kernel))
		return KERNEL_BUG_UNKNOWN;
	if (kernel_bugs_is_before_series(&kernel, 5, 14))
		return KERNEL_BUG_ABSENT;
	if (!kernel_bugs_is_before_series(&kernel, 7, 1))
		return KERNEL_BUG_FIXED;
	if (kernel_bugs_hides_patch_level(release, &kernel) &&
	    !(debian && kernel_bugs_parse_release(debian + strlen(" Debian "), &kernel)))
		return KERNEL_BUG_UNKNOWN;
	for (size_t i = 0; i < ARRAY_SIZE(fixed_in); i++)
		if (kernel.major == fixed_in[i].major && kernel.minor == fixed_in[i].minor)
			return kernel.patch >= fixed_in[i].patch ? KERNEL_BUG_FIXED
			                                         : KERNEL_BUG_PRESENT;
	return KERNEL_BUG_PRESENT;
}

bool kernel_bugs_has_serial_dumps(const char *release)
{
	struct release kernel;

	return !kernel_bugs_parse_release(release, &kernel) ||
	       kernel_bugs_is_before_series(&kernel, 6, 9);
}
