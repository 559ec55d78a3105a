/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/user_env.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/strv.h"
#include "core/env.h"

/* Variables that are meant for reuseportd itself. */
static const char *const ours[] = {
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "MAINPID",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "NODE_CHANNEL_FD",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "SYSTEMD_EXEC_PID",
        "NODE_CHANNEL_SERIALIZATION_MODE",
        NULL,
};

/* Variables about the host, not about a user. */
static const char *const of_host[] = {"PATH", "TZ", "LANG", "LANGUAGE", NULL};

static bool user_env_is_one_of(const char *variable, const char *const *names)
{
	const size_t n = strcspn(variable, "=");

	for (; *names; names++)
		if (strlen(*names) == n && !strncmp(*names, variable, n))
			return true;
	return false;
}

static bool user_env_is_of_host(const char *variable)
{
	return user_env_is_one_of(variable, of_host) || !strncmp(variable, "LC_", 3);
}

static int user_env_add(char ***env, const char *name, const char *value)
{
	_cleanup_free_ char *setting = NULL;

	if (!value)
		return 0;
	return asprintf(&setting, "%s=%s", name, value) < 0 ? -ENOMEM : env_set(env, setting);
}

static int user_env_add_user(char ***env, const struct credentials *id)
{
	int r = user_env_add(env, "USER", id->name);

	if (r == 0)
		r = user_env_add(env, "LOGNAME", id->name);
	if (r == 0)
		r = user_env_add(env, "HOME", id->home);
	return r == 0 ? user_env_add(env, "SHELL", id->shell) : r;
}

char **user_env_new(const struct credentials *id)
{
	const bool other = id->set_user && id->uid != geteuid();
	char **env = NULL;
	int r = 0;

	for (char **variable = environ; *variable && r == 0; variable++)
		if (other ? user_env_is_of_host(*variable) : !user_env_is_one_of(*variable, ours))
			r = strv_append(&env, *variable);
	if (r == 0 && id->set_user)
		r = user_env_add_user(&env, id);
	if (r == 0 && !env) /* an empty one */
		env = calloc(1, sizeof(*env));
	if (r == 0)
		return env;
	strv_free(env);
	return NULL;
}
