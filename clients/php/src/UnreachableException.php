<?php

declare(strict_types=1);

namespace Cascade;

/** No answer came. `isUnsent`: the request never left, so nothing can have happened. */
class UnreachableException extends CascadeException
{
    public function __construct(string $message, public readonly bool $isUnsent)
    {
        parent::__construct($message);
    }
}
