<?php

declare(strict_types=1);

namespace Cascade;

/** A webhook whose signature does not match, or which is too old: answer 400 and believe nothing of it. */
class ForgedWebhookException extends CascadeException
{
}
