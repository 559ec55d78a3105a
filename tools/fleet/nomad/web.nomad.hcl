# SPDX-License-Identifier: BSD-2-Clause
#
# A Nomad job: three allocations in which reuseportd is process 1 and runs the workers. One canary
# first; if it is not healthy, the job reverts to the version before. The file is parsed, and its
# blocks and arguments are checked against the job specification; it was not run on a cluster. The
# Docker driver must allow the capabilities (allow_caps) and volumes, and raw_exec be enabled.
# reuseportd-fleet(7), CONTAINERS, says what else a client needs.
job "web" {
  type = "service"

  group "web" {
    count = 3

    network {
      port "http" {
        to = 8080
      }
      port "door" {
        to = 9465
      }
    }

    update {
      canary            = 1
      auto_promote      = true
      auto_revert       = true
      max_parallel      = 1
      health_check      = "checks"
      min_healthy_time  = "30s"
      healthy_deadline  = "5m"
      progress_deadline = "10m"
    }

    service {
      name     = "web"
      port     = "http"
      provider = "nomad"

      # Decides which allocations get connections. It is not for check_restart: an allocation that
      # drains is not ready either.
      check {
        name     = "ready"
        type     = "http"
        path     = "/ready"
        port     = "door"
        interval = "2s"
        timeout  = "1s"
      }
    }

    service {
      name     = "web-door"
      port     = "door"
      provider = "nomad"

      check {
        name     = "live"
        type     = "http"
        path     = "/live"
        interval = "10s"
        timeout  = "5s"

        check_restart {
          limit = 3
          grace = "60s"
        }
      }
    }

    # The allocation's own folder of the client's bpffs, so that reuseportd need not mount one.
    task "make-bpf" {
      driver = "raw_exec"

      lifecycle {
        hook = "prestart"
      }

      config {
        command = "mkdir"
        args    = ["-p", "/sys/fs/bpf/${NOMAD_ALLOC_ID}"]
      }
    }

    task "remove-bpf" {
      driver = "raw_exec"

      lifecycle {
        hook = "poststop"
      }

      config {
        command = "rm"
        args    = ["-rf", "/sys/fs/bpf/${NOMAD_ALLOC_ID}"]
      }
    }

    task "web" {
      driver      = "docker"
      kill_signal = "SIGTERM"
      # lame-duck, drain-timeout and kill-timeout of web.conf together, and some seconds more. The
      # client's max_kill_timeout must allow it.
      kill_timeout = "35s"

      config {
        image           = "registry.example/web:1"
        args            = ["/local/web.conf"]
        ports           = ["http", "door"]
        readonly_rootfs = true
        cap_drop        = ["all"]
        cap_add = [
          "bpf", "perfmon", "net_admin", "sys_ptrace", "dac_read_search", "setuid", "setgid", "kill",
          "chown",
        ]
        # The seccomp profile on the client; tools/container/seccomp makes it. Cgroup2 has to be
        # writable.
        security_opt = ["seccomp=/etc/nomad.d/reuseportd-seccomp.json", "writable-cgroups=true"]

        mount {
          type   = "tmpfs"
          target = "/run"
        }
        mount {
          type   = "tmpfs"
          target = "/tmp"
        }
        mount {
          type   = "bind"
          source = "/sys/fs/bpf/${NOMAD_ALLOC_ID}"
          target = "/mnt/bpf"
        }
      }

      template {
        destination = "local/web.conf"
        data        = <<-END
          [service web]
          command = node main.js
          cwd = /srv
          workers = 4
          listen = 8080
          user = www-data
          ready = http:/health
          drain-timeout = 20s
          kill-timeout = 5s
          lame-duck = 5s
          # /ready, /live and /metrics need no token; other paths do.
          web = 0.0.0.0:9465
          web-token-file = /secrets/token
        END
      }

      template {
        destination = "secrets/token"
        perms       = "0400"
        data        = "{{ with nomadVar \"nomad/jobs/web\" }}{{ .token }}{{ end }}"
      }

      resources {
        cpu    = 2000
        memory = 1024
      }
    }
  }
}
