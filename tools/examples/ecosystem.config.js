// A configuration file of PM2. `reuseportd run ecosystem.config.js --env production` runs it unchanged;
// `reuseportd check ecosystem.config.js` lists the options that reuseportd doesn't support.
module.exports = {
  apps: [{
    name: 'api',
    script: 'main.js',
    exec_mode: 'cluster',
    instances: 0, // one per CPU
    node_args: '--max-old-space-size=512',
    env: { PORT: 3000, NODE_ENV: 'development' },
    env_production: { NODE_ENV: 'production' },
    wait_ready: true,
    listen_timeout: 50000,
    kill_timeout: 5000,
    max_memory_restart: '600M',
  }],
};
