/* SPDX-License-Identifier: BSD-2-Clause */
#include "config_checks.h"

#include <string.h>

#include "base/strv.h"
#include "core/env.h"
#include "core/schedule_version.h"
#include "core/service_name.h"
#include "fuzz.h"

/* run_config_check() is for complete configurations: those of a file without errors. */
static void config_checks_one(const struct run_config *config)
{
	struct run_config copy;
	struct error err;

	FUZZ_CHECK(run_config_check(config, &err) == 0);
	FUZZ_CHECK(service_name_check(config->service, &err) == 0);
	FUZZ_CHECK(schedule_version_is_label(config->label));
	FUZZ_CHECK(config->workers >= 1 && config->workers <= RPD_SLOT_MAX);
	FUZZ_CHECK(config->n_listens <= RPD_ENDPOINT_MAX);
	for (char **setting = config->env; setting && *setting; setting++)
		FUZZ_CHECK(strchr(*setting, '=') > *setting);
	FUZZ_CHECK(run_config_copy(config, &copy) == 0);
	FUZZ_CHECK(strv_equal(config->argv, copy.argv) && strv_equal(config->env, copy.env));
	run_config_free(&copy);
}

void config_checks_result(const struct load_result *loaded, unsigned int lines)
{
	const struct problems *problems = &loaded->problems;

	FUZZ_CHECK(problems->n <= PROBLEMS_MAX + 1);
	for (size_t i = 0; i < problems->n; i++) {
		FUZZ_CHECK(problems->list[i].text);
		FUZZ_CHECK(problems->list[i].line <= lines);
		FUZZ_CHECK(i == 0 || problems->list[i - 1].line <= problems->list[i].line);
	}
	FUZZ_CHECK(loaded->n <= LOAD_SERVICES_MAX);
	if (problems->n_errors)
		return;
	for (size_t i = 0; i < loaded->n; i++) {
		config_checks_one(&loaded->configs[i]);
		for (size_t j = 0; j < i; j++)
			FUZZ_CHECK(strcmp(loaded->configs[i].service, loaded->configs[j].service) !=
			           0);
	}
}
