CREATE TABLE account (
	id BIGSERIAL NOT NULL, 
	name TEXT COLLATE "C" NOT NULL, 
	created_at_ms BIGINT NOT NULL, 
	is_strict BOOLEAN DEFAULT FALSE NOT NULL, 
	senders TEXT COLLATE "C", 
	send_rate INTEGER, 
	send_burst INTEGER, 
	read_rate INTEGER, 
	read_burst INTEGER, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
CREATE TABLE batch_number (
	taken BIGINT NOT NULL
);
CREATE TABLE delivery (
	account_id BIGINT NOT NULL, 
	webhook_id TEXT COLLATE "C" NOT NULL, 
	event_id TEXT COLLATE "C" NOT NULL, 
	message_id BYTEA, 
	state TEXT COLLATE "C" NOT NULL, 
	due_at_ms BIGINT NOT NULL, 
	tries INTEGER DEFAULT '0' NOT NULL, 
	fence BIGINT DEFAULT '0' NOT NULL, 
	batch_id TEXT COLLATE "C", 
	tried_at_ms BIGINT, 
	duration_ms INTEGER, 
	http_status INTEGER, 
	answer TEXT COLLATE "C", 
	error TEXT COLLATE "C", 
	PRIMARY KEY (account_id, webhook_id, event_id)
);
CREATE INDEX delivery_due ON delivery (account_id, webhook_id, due_at_ms) WHERE state = 'pending';
CREATE INDEX delivery_failed ON delivery (account_id, webhook_id, event_id) WHERE state = 'failed';
CREATE INDEX delivery_of_batch ON delivery (account_id, webhook_id, due_at_ms) WHERE state = 'pending' AND batch_id IS NOT NULL;
CREATE INDEX delivery_of_message ON delivery (account_id, webhook_id, message_id, event_id) WHERE state = 'pending';
CREATE TABLE directory_version (
	version BIGINT NOT NULL
);
CREATE TABLE event (
	account_id BIGINT NOT NULL, 
	id TEXT COLLATE "C" NOT NULL, 
	message_id BYTEA, 
	type TEXT COLLATE "C" NOT NULL, 
	body BYTEA NOT NULL, 
	created_at_ms BIGINT NOT NULL, 
	PRIMARY KEY (account_id, id)
);
CREATE TABLE lost_answer (
	link TEXT COLLATE "C" NOT NULL, 
	recipient TEXT COLLATE "C" NOT NULL, 
	account_id BIGINT NOT NULL, 
	message_id BYTEA NOT NULL, 
	attempt INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	at_ms BIGINT NOT NULL, 
	parts INTEGER DEFAULT '1' NOT NULL, 
	PRIMARY KEY (link, recipient, message_id, attempt)
);
CREATE INDEX lost_answer_by_time ON lost_answer (at_ms);
CREATE TABLE message (
	account_id BIGINT NOT NULL, 
	id BYTEA NOT NULL, 
	tracking_id TEXT COLLATE "C" NOT NULL, 
	sender TEXT COLLATE "C" NOT NULL, 
	phone TEXT COLLATE "C" NOT NULL, 
	type TEXT COLLATE "C" NOT NULL, 
	is_urgent BOOLEAN NOT NULL, 
	text TEXT COLLATE "C" NOT NULL, 
	extras TEXT COLLATE "C", 
	route TEXT COLLATE "C" NOT NULL, 
	accepted_at_ms BIGINT NOT NULL, 
	expires_at_ms BIGINT NOT NULL, 
	state TEXT COLLATE "C" NOT NULL, 
	status TEXT COLLATE "C" NOT NULL, 
	step INTEGER NOT NULL, 
	attempt INTEGER DEFAULT '0' NOT NULL, 
	tries INTEGER DEFAULT '0' NOT NULL, 
	link TEXT COLLATE "C", 
	address TEXT COLLATE "C", 
	due_at_ms BIGINT NOT NULL, 
	deadline_at_ms BIGINT, 
	step_ends_at_ms BIGINT NOT NULL, 
	fence BIGINT DEFAULT '0' NOT NULL, 
	delivered_step INTEGER, 
	delivered TEXT COLLATE "C" DEFAULT '' NOT NULL, 
	is_read BOOLEAN DEFAULT FALSE NOT NULL, 
	open_parts TEXT COLLATE "C" DEFAULT '' NOT NULL, 
	cost_micros BIGINT DEFAULT '0' NOT NULL, 
	max_cost_micros BIGINT, 
	finished_at_ms BIGINT, 
	timeline TEXT COLLATE "C" NOT NULL, 
	batch_id BIGINT NOT NULL, 
	era BIGINT NOT NULL, 
	delivered_by TEXT COLLATE "C"
);
CREATE UNIQUE INDEX message_by_id ON message (account_id, id);
CREATE INDEX message_by_phone ON message (account_id, era, phone);
CREATE INDEX message_by_tracking_id ON message (account_id, era, tracking_id);
CREATE INDEX message_deadline ON message (deadline_at_ms) WHERE deadline_at_ms IS NOT NULL;
CREATE INDEX message_queue ON message (account_id, link, is_urgent, due_at_ms) WHERE state = 'queued';
CREATE TABLE message_tag (
	account_id BIGINT NOT NULL, 
	tag TEXT COLLATE "C" NOT NULL, 
	message_id BYTEA NOT NULL, 
	PRIMARY KEY (account_id, tag, message_id)
);
CREATE TABLE receipt (
	id BIGSERIAL NOT NULL, 
	link TEXT COLLATE "C" NOT NULL, 
	provider_id TEXT COLLATE "C" NOT NULL, 
	state TEXT COLLATE "C" NOT NULL, 
	reason TEXT COLLATE "C", 
	detail TEXT COLLATE "C", 
	recipient TEXT COLLATE "C", 
	received_at_ms BIGINT NOT NULL, 
	due_at_ms BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE INDEX receipt_due ON receipt (due_at_ms);
CREATE TABLE recent_message (
	id BIGSERIAL NOT NULL, 
	account_id BIGINT NOT NULL, 
	digest BYTEA NOT NULL, 
	message_id BYTEA NOT NULL, 
	at_ms BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE UNIQUE INDEX recent_message_by_digest ON recent_message (account_id, digest);
CREATE TABLE recent_request (
	account_id BIGINT NOT NULL, 
	key_digest BYTEA NOT NULL, 
	body_digest BYTEA NOT NULL, 
	answer BYTEA NOT NULL, 
	at_ms BIGINT NOT NULL, 
	PRIMARY KEY (account_id, key_digest)
);
CREATE INDEX recent_request_by_time ON recent_request (at_ms);
CREATE TABLE sent_part (
	link TEXT COLLATE "C" NOT NULL, 
	provider_id TEXT COLLATE "C" NOT NULL, 
	account_id BIGINT NOT NULL, 
	message_id BYTEA NOT NULL, 
	attempt INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	part INTEGER NOT NULL, 
	PRIMARY KEY (link, provider_id)
);
CREATE TABLE short_link (
	code TEXT COLLATE "C" NOT NULL, 
	account_id BIGINT NOT NULL, 
	message_id BYTEA NOT NULL, 
	target TEXT COLLATE "C" NOT NULL, 
	created_at_ms BIGINT NOT NULL, 
	expires_at_ms BIGINT NOT NULL, 
	clicks BIGINT DEFAULT '0' NOT NULL, 
	machine_clicks BIGINT DEFAULT '0' NOT NULL, 
	first_click_at_ms BIGINT, 
	last_click_at_ms BIGINT, 
	PRIMARY KEY (code)
);
CREATE INDEX short_link_by_expiry ON short_link (expires_at_ms);
CREATE INDEX short_link_of_message ON short_link (account_id, message_id);
CREATE TABLE subscriber (
	account_id BIGINT NOT NULL, 
	link TEXT COLLATE "C" NOT NULL, 
	phone TEXT COLLATE "C" NOT NULL, 
	address TEXT COLLATE "C" NOT NULL, 
	profile TEXT COLLATE "C" NOT NULL, 
	updated_at_ms BIGINT NOT NULL, 
	PRIMARY KEY (account_id, link, phone)
);
CREATE TABLE variable (
	account_id BIGINT NOT NULL, 
	type TEXT COLLATE "C" NOT NULL, 
	id TEXT COLLATE "C" NOT NULL, 
	value TEXT COLLATE "C" NOT NULL, 
	updated_at_ms BIGINT NOT NULL, 
	PRIMARY KEY (account_id, type, id)
);
CREATE TABLE webhook (
	account_id BIGINT NOT NULL, 
	id TEXT COLLATE "C" NOT NULL, 
	url TEXT COLLATE "C" NOT NULL, 
	types TEXT COLLATE "C", 
	format TEXT COLLATE "C" NOT NULL, 
	secrets TEXT COLLATE "C" NOT NULL, 
	batch_max INTEGER NOT NULL, 
	retry_delays_s TEXT COLLATE "C", 
	is_enabled BOOLEAN NOT NULL, 
	disabled_reason TEXT COLLATE "C", 
	disabled_at_ms BIGINT, 
	failing_since_ms BIGINT, 
	created_at_ms BIGINT NOT NULL, 
	PRIMARY KEY (account_id, id)
);
CREATE TABLE api_key (
	digest BYTEA NOT NULL, 
	account_id BIGINT NOT NULL, 
	name TEXT COLLATE "C" NOT NULL, 
	created_at_ms BIGINT NOT NULL, 
	scopes TEXT COLLATE "C" DEFAULT 'send,read,admin' NOT NULL, 
	expires_at_ms BIGINT, 
	allowed_networks TEXT COLLATE "C", 
	last_used_at_ms BIGINT, 
	PRIMARY KEY (digest), 
	FOREIGN KEY(account_id) REFERENCES account (id)
);
CREATE TABLE bot (
	id BIGSERIAL NOT NULL, 
	account_id BIGINT NOT NULL, 
	channel TEXT COLLATE "C" NOT NULL, 
	token_digest BYTEA NOT NULL, 
	sealed_token BYTEA NOT NULL, 
	created_at_ms BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (channel, token_digest), 
	FOREIGN KEY(account_id) REFERENCES account (id)
);
INSERT INTO directory_version VALUES (0);
INSERT INTO batch_number VALUES (0);
CREATE TABLE schema_version (
	version BIGINT DEFAULT '1'
);
INSERT INTO schema_version DEFAULT VALUES;
INSERT INTO account (id, name, created_at_ms, is_strict, senders, send_rate, send_burst, read_rate, read_burst) VALUES (1, 'acme', 1000000000000, FALSE, NULL, NULL, NULL, NULL, NULL);
INSERT INTO message (account_id, id, tracking_id, sender, phone, type, is_urgent, text, extras, route, accepted_at_ms, expires_at_ms, state, status, step, attempt, tries, link, address, due_at_ms, deadline_at_ms, step_ends_at_ms, fence, delivered_step, delivered, is_read, open_parts, cost_micros, max_cost_micros, finished_at_ms, timeline, batch_id, era, delivered_by) VALUES (1, '\x00000000000000000000000000000001', 'order-1', 'Shop', '+380500000001', 'promo', FALSE, 'text 1', NULL, '[["sms","sms.smpp",null]]', 1000000000000, 1000086400000, 'queued', 'processing', 0, 0, 0, 'sms.smpp', NULL, 1000000000000, 1000003600000, 1000003600000, 0, NULL, '', FALSE, '', 0, NULL, NULL, '', 0, 0, NULL);
INSERT INTO message (account_id, id, tracking_id, sender, phone, type, is_urgent, text, extras, route, accepted_at_ms, expires_at_ms, state, status, step, attempt, tries, link, address, due_at_ms, deadline_at_ms, step_ends_at_ms, fence, delivered_step, delivered, is_read, open_parts, cost_micros, max_cost_micros, finished_at_ms, timeline, batch_id, era, delivered_by) VALUES (1, '\x00000000000000000000000000000002', 'order-2', 'Shop', '+380500000002', 'transaction', TRUE, 'text 2', NULL, '[["sms","sms.smpp",null]]', 1000000000000, 1000086400000, 'queued', 'processing', 0, 0, 0, 'sms.smpp', NULL, 1000000000000, 1000003600000, 1000003600000, 0, NULL, '', FALSE, '', 0, NULL, NULL, '', 0, 0, NULL);
INSERT INTO message (account_id, id, tracking_id, sender, phone, type, is_urgent, text, extras, route, accepted_at_ms, expires_at_ms, state, status, step, attempt, tries, link, address, due_at_ms, deadline_at_ms, step_ends_at_ms, fence, delivered_step, delivered, is_read, open_parts, cost_micros, max_cost_micros, finished_at_ms, timeline, batch_id, era, delivered_by) VALUES (1, '\x00000000000000000000000000000003', 'order-3', 'Shop', '+380500000003', 'promo', FALSE, 'text 3', NULL, '[["sms","sms.smpp",null]]', 1000000000000, 1000086400000, 'final', 'processing', 0, 0, 0, NULL, NULL, 1000000000000, NULL, 1000003600000, 0, NULL, '', FALSE, '', 0, NULL, 1000000000000, '', 0, 0, NULL);
INSERT INTO sent_part (link, provider_id, account_id, message_id, attempt, step, part) VALUES ('sms.smpp', '77', 1, '\x00000000000000000000000000000003', 1, 0, 0);
INSERT INTO api_key (digest, account_id, name, created_at_ms, scopes, expires_at_ms, allowed_networks, last_used_at_ms) VALUES ('\x2a8a1240f50636655520ac8ed22aa29473b8517b4abfdbc3bc03bcad73fc8849', 1, 'first', 1000000000000, 'admin,read,send', NULL, NULL, NULL);
UPDATE directory_version SET version = 2;
