-- The table of Unkey; the rows are made up.
CREATE TABLE unkey.`keys` (
	`id` varchar(256) NOT NULL,
	`key_auth_id` varchar(256) NOT NULL,
	`hash` varchar(256) NOT NULL,
	`start` varchar(256) NOT NULL,
	`workspace_id` varchar(256) NOT NULL,
	`for_workspace_id` varchar(256),
	`name` varchar(256),
	`owner_id` varchar(256),
	`identity_id` varchar(256),
	`meta` text,
	`expires` datetime(3),
	`created_at_m` bigint NOT NULL DEFAULT 0,
	`updated_at_m` bigint,
	`deleted_at_m` bigint,
	`refill_day` tinyint,
	`refill_amount` int,
	`last_refill_at` datetime(3),
	`enabled` boolean NOT NULL DEFAULT true,
	`remaining_requests` int,
	`ratelimit_async` boolean,
	`ratelimit_limit` int,
	`ratelimit_duration` bigint,
	`environment` varchar(256),
	`pending_migration_id` varchar(256),
	CONSTRAINT `keys_id` PRIMARY KEY(`id`),
	CONSTRAINT `hash_idx` UNIQUE(`hash`)
);
INSERT INTO unkey.`keys`
	(`id`, `key_auth_id`, `hash`, `start`, `workspace_id`, `for_workspace_id`, `name`, `expires`, `enabled`,
	 `deleted_at_m`, `pending_migration_id`)
VALUES
	('key_made_up_1', 'ks_made_up', '{mobile}', 'mu_1', 'ws_made_up', NULL, 'mobile app', '2200-01-31 12:00:00.000', 1,
	 NULL, NULL),
	('key_made_up_2', 'ks_made_up', '{off}', 'mu_2', 'ws_made_up', NULL, '', NULL, 0, NULL, NULL),
	('key_made_up_3', 'ks_made_up', '{gone}', 'mu_3', 'ws_made_up', NULL, 'deleted', NULL, 1, 1764000000000, NULL),
	('key_made_up_4', 'ks_made_up', '{root}', 'mu_4', 'ws_unkey', 'ws_made_up', 'root', NULL, 1, NULL, NULL),
	('key_made_up_5', 'ks_made_up', '{pending}', 'mu_5', 'ws_made_up', NULL, 'pending', NULL, 1, NULL, 'migration_1');
