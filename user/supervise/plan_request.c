/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/plan_request.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "core/dealing.h"
#include "service/service_lock.h"
#include "supervise/plan.h"
#include "supervise/worker_listeners.h"

/* Refuses changes of the service itself: a reload changes only its workers. */
static int plan_request_check_service(const struct run_config *is, const struct run_config *other,
                                      struct error *err)
{
	if (is->n_listens != other->n_listens || is->pass_sockets != other->pass_sockets ||
	    is->no_count != other->no_count ||
	    memcmp(is->listens, other->listens, is->n_listens * sizeof(is->listens[0])) != 0)
		return error_set(err, -EINVAL,
		                 "listen, pass-sockets and no-count can't be changed by a reload: "
		                 "stop the service and start it again");
	return 0;
}

/* The file may have what it had, or what `reuseportd policy` has put in force since then. */
static int plan_request_check_dealing(struct supervisor *sup, const struct dealing *other,
                                      struct error *err)
{
	_cleanup_service_lock_ struct service *service = NULL;
	int r;

	if (dealing_equal(&sup->plan->config.dealing, other))
		return 0;
	r = service_lock(&sup->service, &service, err);
	if (r < 0 || dealing_is_of(other, steer_schedule(&service->steer)))
		return r;
	return error_set(err, -EINVAL,
	                 "policy, skip-stuck, slow-start and choices can't be changed by a reload: "
	                 "change them with `reuseportd policy %s`, then reload",
	                 sup->name);
}

static int plan_request_check_user(const struct supervisor *sup, const struct run_config *other,
                                   struct error *err)
{
	if (plan_listener_uid(&sup->plan->config) == plan_listener_uid(other))
		return 0;
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (sup->slots[slot].current && worker_listeners_has_any(sup->slots[slot].current))
			return error_set(
			        err, -EINVAL,
			        "user can't be changed by a reload: the kernel lets only "
			        "processes of one user share a port (except with "
			        "pass-sockets), so the new workers could not listen "
			        "beside the old ones: stop the service and start it again");
	return 0;
}

/* The new configuration: the one of the file or, without one, the present one; with the command and
 * label of the request, if it has them. */
static int plan_request_make_config(struct supervisor *sup, const struct request *request,
                                    const struct run_config *of_file, struct run_config *ret,
                                    struct error *err)
{
	const bool labelled = request->fields & REQUEST_LABEL;
	char **argv = NULL;
	int r = 0;

	if (of_file && of_file->fault)
		return error_usage(err, "%s", of_file->fault);
	if (of_file)
		r = plan_request_check_service(&sup->plan->config, of_file, err);
	if (r == 0 && of_file)
		r = plan_request_check_dealing(sup, &of_file->dealing, err);
	if (r == 0 && of_file)
		r = plan_request_check_user(sup, of_file, err);
	if (r < 0)
		return r;
	r = run_config_copy(of_file ? of_file : &sup->plan->config, ret);
	if (r == 0)
		r = strv_copy(request->argv, &argv);
	if (r == 0)
		run_config_set_command(ret, argv, labelled ? request->label : NULL);
	return r < 0 ? error_set(err, r, "out of memory") : 0;
}

int plan_request_make(struct supervisor *sup, const struct request *request,
                      const struct run_config *of_file, struct plan **ret, struct error *err)
{
	const bool labelled = request->fields & REQUEST_LABEL;
	struct run_config config;
	int r;

	run_config_init(&config);
	r = plan_request_make_config(sup, request, of_file, &config, err);
	if (r == 0)
		r = run_config_check(&config, err);
	*ret = r == 0 ? plan_new(&config) : NULL;
	if (*ret)
		(*ret)->relabel = sup->plan->relabel || labelled ||
		                  strcmp(config.label, sup->plan->config.label) != 0;
	run_config_free(&config);
	if (r == 0 && !*ret)
		r = error_set(err, -ENOMEM, "out of memory");
	return r;
}
