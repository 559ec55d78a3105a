/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/service_argument.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/service_name.h"
#include "kern/pins.h"
#include "service/run_dir.h"

static bool service_argument_exists(const char *service)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	char path[PATH_MAX];
	struct error ignored;
	size_t n = 0;

	if (pins_list_services(&names, &n, &ignored) == 0)
		for (size_t i = 0; i < n; i++)
			if (!strcmp(names[i], service))
				return true;
	run_dir_path(service, "control", path, sizeof(path));
	return access(path, F_OK) == 0;
}

int service_argument_find(const char *given, const char **ret, struct error *err)
{
	static char derived[RPD_LABEL_MAX];
	int r = service_name_check(given, err);

	*ret = given;
	if (r == 0)
		return 0;
	service_name_derive(given, 0, derived);
	if (!service_argument_exists(derived))
		return r;
	*ret = derived;
	return 0;
}
