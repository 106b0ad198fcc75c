<?php

declare(strict_types=1);

namespace Cascade;

/** The root of all exceptions here. */
class CascadeException extends \RuntimeException
{
    /** @var list<array{messageId: string, trackinId: string}> Of a bulk that took several requests, what was accepted before. */
    public array $sent = [];
}
