# SPDX-License-Identifier: BSD-2-Clause
"""The manifests for Kubernetes and Nomad: their fields, by the types of the API and the job
specification, and what has to agree in them. They are not run on a cluster."""
import pathlib
import re

from containers import CAPABILITIES
from harness.checks import check, equal
from runs import node_folder

HERE = pathlib.Path(__file__).resolve().parent
MANIFESTS = ("kubernetes/deployment.yaml", "kubernetes/daemonset.yaml")
JOB = "nomad/web.nomad.hcl"

# Nomad's job specification: the arguments of a block, and the blocks in it, as far as the job has
# them. `config` of a task is that of docker or raw_exec.
LABELLED = {"group", "task", "port"}
ARGUMENTS = {
    "job": {"all_at_once", "datacenters", "node_pool", "name", "namespace", "priority", "region",
            "type"},
    "group": {"count", "shutdown_delay", "prevent_reschedule_on_lost"},
    "network": {"mode", "hostname", "cni"},
    "port": {"static", "to", "host_network", "ignore_collision"},
    "update": {"max_parallel", "health_check", "min_healthy_time", "healthy_deadline",
               "progress_deadline", "auto_revert", "auto_promote", "canary", "stagger"},
    "service": {"provider", "name", "port", "tags", "canary_tags", "enable_tag_override", "address",
                "tagged_addresses", "address_mode", "task", "on_update", "kind"},
    "check": {"address_mode", "args", "command", "grpc_service", "grpc_use_tls", "initial_status",
              "success_before_passing", "failures_before_critical", "failures_before_warning",
              "interval", "method", "body", "name", "path", "expose", "port", "protocol", "task",
              "timeout", "type", "tls_server_name", "tls_skip_verify", "on_update"},
    "check_restart": {"limit", "grace", "ignore_warnings"},
    "task": {"driver", "user", "kill_timeout", "kill_signal", "leader", "shutdown_delay"},
    "lifecycle": {"hook", "sidecar"},
    "template": {"change_mode", "change_signal", "data", "destination", "env", "error_on_missing_key",
                 "left_delimiter", "once", "perms", "right_delimiter", "source", "splay", "uid", "gid",
                 "vault_grace"},
    "resources": {"cpu", "cores", "memory", "memory_max"},
    "config": {"image", "args", "command", "entrypoint", "ports", "readonly_rootfs", "cap_add",
               "cap_drop", "security_opt", "init", "network_mode", "pids_limit", "privileged",
               "volumes", "work_dir"},
    "mount": {"type", "target", "source", "readonly"},
}
BLOCKS = {
    "job": {"group"},
    "group": {"network", "update", "service", "task"},
    "network": {"port"},
    "service": {"check", "check_restart"},
    "check": {"check_restart"},
    "task": {"config", "lifecycle", "template", "resources", "service"},
    "config": {"mount"},
}


def read(bed, *paths):
    """The objects and faults of each file."""
    result = bed.run("node", HERE / "manifests.js", node_folder(bed), *paths, deadline=110)
    equal(result.code, 0, f"exit status of {result}")
    return [(row["objects"], row["faults"]) for row in result.json()]


def with_mistakes(bed, path, mistakes):
    """Copies of a file, each with one mistake."""
    paths = []
    for right, wrong in mistakes:
        text = path.read_text()
        check(right in text, f"{path} has no '{right}'")
        paths.append(bed.dir / f"{len(paths)}{path.suffix}")
        paths[-1].write_text(text.replace(right, wrong))
    return paths


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def check_config(bed, text, grace):
    """The configuration is good, and its services end within @grace seconds after SIGTERM."""
    path = bed.dir / "web.conf"
    path.write_text(text)
    bed.reuseportd("check", path)
    settings = dict(re.findall(r"(?m)^([a-z-]+) = (.*)$", text))
    longest = sum(seconds(settings[name]) for name in ("lame-duck", "drain-timeout", "kill-timeout"))
    check(longest < grace, f"the service may take {longest} s to end, but has {grace} s")
    return settings


def check_rights(added, port):
    needed = {*CAPABILITIES, *(["NET_BIND_SERVICE"] if port < 1024 else [])}
    equal({name.upper() for name in added}, needed, "capabilities")


def check_pods(bed, objects):
    objects = {row["kind"]: row for row in objects}
    pods = (objects.get("Deployment") or objects["DaemonSet"])["spec"]["template"]["spec"]
    [container] = pods["containers"]
    [config] = objects["ConfigMap"]["data"].values()
    settings = check_config(bed, config, pods["terminationGracePeriodSeconds"])
    check_rights(container["securityContext"]["capabilities"]["add"], int(settings["listen"]))
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    equal([str(ports["http"]), f"0.0.0.0:{ports['door']}"], [settings["listen"], settings["web"]],
          "ports")
    equal([container[probe]["httpGet"]["path"] for probe in
           ("startupProbe", "readinessProbe", "livenessProbe")], ["/ready", "/ready", "/live"],
          "paths of the probes")
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    equal(set(mounted), {volume["name"] for volume in pods["volumes"]}, "volumes")
    equal(f"{mounted['token']}/token", settings["web-token-file"], "file with the token")


def test_kubernetes(bed):
    """The manifests are right; the types find a wrong name, type and place."""
    mistakes = (("readinessProbe:", "readyProbe:"), ("replicas: 3", "replicas: three"),
                ("minReadySeconds: 30", "template: 30"), ("drop: [ALL]", "drop: ALL"),
                ("path: /ready", "url: /ready"), ("kind: Deployment", "kind: Deploy"),
                ("port: door", "port: door: 1"))
    wrong = with_mistakes(bed, HERE / MANIFESTS[0], mistakes)
    rows = read(bed, *(HERE / name for name in MANIFESTS), *wrong)
    for name, (objects, faults) in zip(MANIFESTS, rows):
        equal(faults, [], f"faults of {name}")
        check_pods(bed, objects)
    for (_, mistake), (_, faults) in zip(mistakes, rows[len(MANIFESTS):]):
        check(faults, f"'{mistake}' is not found")


def wrong_names(kind, body):
    """The names in a block that the job specification does not have."""
    wrong = []
    for name, value in body.items():
        if name not in BLOCKS.get(kind, ()):
            if name not in ARGUMENTS[kind]:
                wrong.append(f"{kind}: {name}")
            continue
        for block in value.values() if name in LABELLED else [value]:
            for row in block:
                wrong += wrong_names(name, row)
    return wrong


def test_nomad(bed):
    """The job is right; bad syntax and a wrong name are found."""
    wrong = with_mistakes(bed, HERE / JOB, (("count = 3", "count = = 3"),
                                            ("auto_revert ", "auto_revertt ")))
    (objects, faults), (_, bad_syntax), ([bad_name], _) = read(bed, HERE / JOB, *wrong)
    check(bad_syntax, "bad syntax is not found")
    equal(wrong_names("job", bad_name["job"]["web"][0]), ["update: auto_revertt"], "wrong names")
    equal(faults, [], "faults of the job")
    [job] = objects[0]["job"]["web"]
    equal(wrong_names("job", job), [], "names that Nomad does not know")
    [group] = job["group"]["web"]
    [update] = group["update"]
    equal([update["canary"], update["auto_revert"]], [1, True], "canary and auto_revert")
    [task] = group["task"]["web"]
    [config], [template, token] = task["config"], task["template"]
    settings = check_config(bed, template["data"], seconds(task["kill_timeout"]))
    equal(f"/{token['destination']}", settings["web-token-file"], "file with the token")
    check_rights(config["cap_add"], int(settings["listen"]))
    ports = {name: rows[0]["to"] for name, rows in group["network"][0]["port"].items()}
    equal([str(ports["http"]), f"0.0.0.0:{ports['door']}"], [settings["listen"], settings["web"]],
          "ports")
    equal(sorted(row["path"] for service in group["service"] for row in service["check"]),
          ["/live", "/ready"], "paths of the checks")
