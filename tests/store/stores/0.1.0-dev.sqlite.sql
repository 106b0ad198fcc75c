BEGIN TRANSACTION;
CREATE TABLE account (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	created_at_ms BIGINT NOT NULL, 
	is_strict BOOLEAN DEFAULT FALSE NOT NULL, 
	senders TEXT, 
	send_rate INTEGER, 
	send_burst INTEGER, 
	read_rate INTEGER, 
	read_burst INTEGER, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "account" VALUES(1,'acme',1000000000000,0,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE api_key (
	digest BLOB NOT NULL, 
	account_id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	created_at_ms BIGINT NOT NULL, 
	scopes TEXT DEFAULT 'send,read,admin' NOT NULL, 
	expires_at_ms BIGINT, 
	allowed_networks TEXT, 
	last_used_at_ms BIGINT, 
	PRIMARY KEY (digest), 
	FOREIGN KEY(account_id) REFERENCES account (id)
)
 WITHOUT ROWID

;
INSERT INTO "api_key" VALUES(X'2A8A1240F50636655520AC8ED22AA29473B8517B4ABFDBC3BC03BCAD73FC8849',1,'first',1000000000000,'admin,read,send',NULL,NULL,NULL);
CREATE TABLE batch_number (
	taken BIGINT NOT NULL
);
INSERT INTO "batch_number" VALUES(0);
CREATE TABLE bot (
	id INTEGER NOT NULL, 
	account_id INTEGER NOT NULL, 
	channel TEXT NOT NULL, 
	token_digest BLOB NOT NULL, 
	sealed_token BLOB NOT NULL, 
	created_at_ms BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (channel, token_digest), 
	FOREIGN KEY(account_id) REFERENCES account (id)
);
CREATE TABLE delivery (
	account_id BIGINT NOT NULL, 
	webhook_id TEXT NOT NULL, 
	event_id TEXT NOT NULL, 
	message_id BLOB, 
	state TEXT NOT NULL, 
	due_at_ms BIGINT NOT NULL, 
	tries INTEGER DEFAULT '0' NOT NULL, 
	fence BIGINT DEFAULT '0' NOT NULL, 
	batch_id TEXT, 
	tried_at_ms BIGINT, 
	duration_ms INTEGER, 
	http_status INTEGER, 
	answer TEXT, 
	error TEXT, 
	PRIMARY KEY (account_id, webhook_id, event_id)
)
 WITHOUT ROWID

;
CREATE TABLE directory_version (
	version BIGINT NOT NULL
);
INSERT INTO "directory_version" VALUES(2);
CREATE TABLE event (
	account_id BIGINT NOT NULL, 
	id TEXT NOT NULL, 
	message_id BLOB, 
	type TEXT NOT NULL, 
	body BLOB NOT NULL, 
	created_at_ms BIGINT NOT NULL, 
	PRIMARY KEY (account_id, id)
)
 WITHOUT ROWID

;
CREATE TABLE lost_answer (
	link TEXT NOT NULL, 
	recipient TEXT NOT NULL, 
	account_id BIGINT NOT NULL, 
	message_id BLOB NOT NULL, 
	attempt INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	at_ms BIGINT NOT NULL, 
	parts INTEGER DEFAULT '1' NOT NULL, 
	PRIMARY KEY (link, recipient, message_id, attempt)
)
 WITHOUT ROWID

;
CREATE TABLE message (
	account_id BIGINT NOT NULL, 
	id BLOB NOT NULL, 
	tracking_id TEXT NOT NULL, 
	sender TEXT NOT NULL, 
	phone TEXT NOT NULL, 
	type TEXT NOT NULL, 
	is_urgent BOOLEAN NOT NULL, 
	text TEXT NOT NULL, 
	extras TEXT, 
	route TEXT NOT NULL, 
	accepted_at_ms BIGINT NOT NULL, 
	expires_at_ms BIGINT NOT NULL, 
	state TEXT NOT NULL, 
	status TEXT NOT NULL, 
	step INTEGER NOT NULL, 
	attempt INTEGER DEFAULT '0' NOT NULL, 
	tries INTEGER DEFAULT '0' NOT NULL, 
	link TEXT, 
	address TEXT, 
	due_at_ms BIGINT NOT NULL, 
	deadline_at_ms BIGINT, 
	step_ends_at_ms BIGINT NOT NULL, 
	fence BIGINT DEFAULT '0' NOT NULL, 
	delivered_step INTEGER, 
	delivered TEXT DEFAULT '' NOT NULL, 
	is_read BOOLEAN DEFAULT FALSE NOT NULL, 
	open_parts TEXT DEFAULT '' NOT NULL, 
	cost_micros BIGINT DEFAULT '0' NOT NULL, 
	max_cost_micros BIGINT, 
	finished_at_ms BIGINT, 
	timeline TEXT NOT NULL, 
	batch_id BIGINT NOT NULL, 
	era BIGINT NOT NULL, 
	delivered_by TEXT
);
INSERT INTO "message" VALUES(1,X'00000000000000000000000000000001','order-1','Shop','+380500000001','promo',0,'text 1',NULL,'[["sms","sms.smpp",null]]',1000000000000,1000086400000,'queued','processing',0,0,0,'sms.smpp',NULL,1000000000000,1000003600000,1000003600000,0,NULL,'',0,'',0,NULL,NULL,'',0,0,NULL);
INSERT INTO "message" VALUES(1,X'00000000000000000000000000000002','order-2','Shop','+380500000002','transaction',1,'text 2',NULL,'[["sms","sms.smpp",null]]',1000000000000,1000086400000,'queued','processing',0,0,0,'sms.smpp',NULL,1000000000000,1000003600000,1000003600000,0,NULL,'',0,'',0,NULL,NULL,'',0,0,NULL);
INSERT INTO "message" VALUES(1,X'00000000000000000000000000000003','order-3','Shop','+380500000003','promo',0,'text 3',NULL,'[["sms","sms.smpp",null]]',1000000000000,1000086400000,'final','processing',0,0,0,NULL,NULL,1000000000000,NULL,1000003600000,0,NULL,'',0,'',0,NULL,1000000000000,'',0,0,NULL);
CREATE TABLE message_tag (
	account_id BIGINT NOT NULL, 
	tag TEXT NOT NULL, 
	message_id BLOB NOT NULL, 
	PRIMARY KEY (account_id, tag, message_id)
)
 WITHOUT ROWID

;
CREATE TABLE receipt (
	id INTEGER NOT NULL, 
	link TEXT NOT NULL, 
	provider_id TEXT NOT NULL, 
	state TEXT NOT NULL, 
	reason TEXT, 
	detail TEXT, 
	recipient TEXT, 
	received_at_ms BIGINT NOT NULL, 
	due_at_ms BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE recent_message (
	id INTEGER NOT NULL, 
	account_id BIGINT NOT NULL, 
	digest BLOB NOT NULL, 
	message_id BLOB NOT NULL, 
	at_ms BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE recent_request (
	account_id BIGINT NOT NULL, 
	key_digest BLOB NOT NULL, 
	body_digest BLOB NOT NULL, 
	answer BLOB NOT NULL, 
	at_ms BIGINT NOT NULL, 
	PRIMARY KEY (account_id, key_digest)
)
 WITHOUT ROWID

;
CREATE TABLE sent_part (
	link TEXT NOT NULL, 
	provider_id TEXT NOT NULL, 
	account_id BIGINT NOT NULL, 
	message_id BLOB NOT NULL, 
	attempt INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	part INTEGER NOT NULL, 
	PRIMARY KEY (link, provider_id)
)
 WITHOUT ROWID

;
INSERT INTO "sent_part" VALUES('sms.smpp','77',1,X'00000000000000000000000000000003',1,0,0);
CREATE TABLE short_link (
	code TEXT NOT NULL, 
	account_id BIGINT NOT NULL, 
	message_id BLOB NOT NULL, 
	target TEXT NOT NULL, 
	created_at_ms BIGINT NOT NULL, 
	expires_at_ms BIGINT NOT NULL, 
	clicks BIGINT DEFAULT '0' NOT NULL, 
	machine_clicks BIGINT DEFAULT '0' NOT NULL, 
	first_click_at_ms BIGINT, 
	last_click_at_ms BIGINT, 
	PRIMARY KEY (code)
);
CREATE TABLE subscriber (
	account_id BIGINT NOT NULL, 
	link TEXT NOT NULL, 
	phone TEXT NOT NULL, 
	address TEXT NOT NULL, 
	profile TEXT NOT NULL, 
	updated_at_ms BIGINT NOT NULL, 
	PRIMARY KEY (account_id, link, phone)
)
 WITHOUT ROWID

;
CREATE TABLE variable (
	account_id BIGINT NOT NULL, 
	type TEXT NOT NULL, 
	id TEXT NOT NULL, 
	value TEXT NOT NULL, 
	updated_at_ms BIGINT NOT NULL, 
	PRIMARY KEY (account_id, type, id)
)
 WITHOUT ROWID

;
CREATE TABLE webhook (
	account_id BIGINT NOT NULL, 
	id TEXT NOT NULL, 
	url TEXT NOT NULL, 
	types TEXT, 
	format TEXT NOT NULL, 
	secrets TEXT NOT NULL, 
	batch_max INTEGER NOT NULL, 
	retry_delays_s TEXT, 
	is_enabled BOOLEAN NOT NULL, 
	disabled_reason TEXT, 
	disabled_at_ms BIGINT, 
	failing_since_ms BIGINT, 
	created_at_ms BIGINT NOT NULL, 
	PRIMARY KEY (account_id, id)
)
 WITHOUT ROWID

;
CREATE INDEX delivery_due ON delivery (account_id, webhook_id, due_at_ms) WHERE state = 'pending';
CREATE INDEX delivery_failed ON delivery (account_id, webhook_id, event_id) WHERE state = 'failed';
CREATE INDEX delivery_of_batch ON delivery (account_id, webhook_id, due_at_ms) WHERE state = 'pending' AND batch_id IS NOT NULL;
CREATE INDEX delivery_of_message ON delivery (account_id, webhook_id, message_id, event_id) WHERE state = 'pending';
CREATE INDEX lost_answer_by_time ON lost_answer (at_ms);
CREATE UNIQUE INDEX message_by_id ON message (account_id, id);
CREATE INDEX message_by_phone ON message (account_id, era, phone);
CREATE INDEX message_by_tracking_id ON message (account_id, era, tracking_id);
CREATE INDEX message_deadline ON message (deadline_at_ms) WHERE deadline_at_ms IS NOT NULL;
CREATE INDEX message_queue ON message (account_id, link, is_urgent, due_at_ms) WHERE state = 'queued';
CREATE INDEX receipt_due ON receipt (due_at_ms);
CREATE UNIQUE INDEX recent_message_by_digest ON recent_message (account_id, digest);
CREATE INDEX recent_request_by_time ON recent_request (at_ms);
CREATE INDEX short_link_by_expiry ON short_link (expires_at_ms);
CREATE INDEX short_link_of_message ON short_link (account_id, message_id);
COMMIT;
PRAGMA user_version = 1;
