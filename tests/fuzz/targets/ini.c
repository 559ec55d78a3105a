/* SPDX-License-Identifier: BSD-2-Clause */
/* Configuration files. The first byte chooses whether --only is given. */
#include "config/ini.h"
#include "config_checks.h"
#include "fuzz.h"

void __wrap_load_host_problems(const struct run_config *config,
                               void (*report)(void *data, const char *option, const char *text),
                               void *data);
int __wrap_load_find_program(const struct run_config *config, struct error *err);
int __wrap_load_environment(struct load_result *loaded, const char **ret_option, struct error *err);

void __wrap_load_host_problems(const struct run_config *config,
                               void (*report)(void *data, const char *option, const char *text),
                               void *data)
{
	if (config->cwd)
		report(data, "cwd", "there is none");
}

int __wrap_load_find_program(const struct run_config *config, struct error *err)
{
	return config->argv && config->argv[0][0] == 'x' ? error_usage(err, "there is none") : 0;
}

int __wrap_load_environment(struct load_result *loaded, const char **ret_option, struct error *err)
{
	const struct run_config *config = &loaded->configs[loaded->n - 1];

	*ret_option = "env-file";
	return config->env_files && config->env_files[0][0] == 'x'
	               ? error_usage(err, "there is none")
	               : 0;
}

static void run(const char *text, size_t size)
{
	const struct load_file file = {
	        .path = "x", .n_cpus = 4, .only = text[0] == '!' ? "a,web" : NULL};
	struct load_result loaded = {.problems.file = "x"};
	unsigned int lines = 1;

	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	ini_load_text(&file, text, size, &loaded);
	config_checks_result(&loaded, lines);
	load_free(&loaded);
}

const struct fuzz_target fuzz_target = {run, 32};
